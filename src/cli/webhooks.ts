import { randomUUID } from 'node:crypto'
import { defineCommand } from 'citty'
import { withDatabase } from '../compose-command.js'
import type { Config } from '../config.js'
import { DatabaseSetupError } from '../db/setup-error.js'
import { createInboxStore, type DeadEvent, type InboxStore } from '../purchases/inbox/store.js'
import { command, json, show, warn } from './command.js'

/** Whoever has more of them has one reason for most. */
const MAX_LISTED = 1_000
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const deadCommand = command(
  "List providers' events that could not be applied, oldest first; each says why",
  { json },
  async ({ args, config }) => {
    const events = await withStore(config, (store) => store.dead(MAX_LISTED))
    if (events.length === MAX_LISTED) warn(`only the first ${MAX_LISTED} are shown`)
    const lines = events.flatMap(describe)
    show({ events }, lines.length > 0 ? lines : ['no dead events'], args.json)
    return true
  },
)

const replayCommand = command(
  'Try a dead event again, or all of them; a running instance does so within seconds',
  {
    id: { type: 'positional', description: 'As webhooks dead shows it', required: false },
    all: { type: 'boolean', description: 'All that are dead' },
    json,
  },
  async ({ args, config }) => {
    const { id, all } = args
    if ((id === undefined) === (all !== true)) {
      throw new DatabaseSetupError('say the id of an event, as webhooks dead shows it, or --all')
    }
    const replayed = await withStore(config, (store) => replay(store, id ?? null))
    const what = replayed === 1 ? '1 event' : `${replayed} events`
    const line = replayed === 0 ? 'nothing is dead there' : `${what} will be tried again`
    show({ replayed }, [line], args.json)
    return true
  },
)

export const webhooksCommand = defineCommand({
  meta: { description: "Payment providers' events" },
  subCommands: { dead: deadCommand, replay: replayCommand },
})

/** Safe to repeat: what is tried again already, or done, is left alone. */
const replay = async (store: InboxStore, id: string | null): Promise<number> => {
  if (id !== null && !(UUID.test(id) && (await store.has(id)))) {
    throw new DatabaseSetupError(`there is no event ${id}`)
  }
  return store.replay(id)
}

const withStore = <T>(config: Config, act: (store: InboxStore) => Promise<T>): Promise<T> =>
  withDatabase(config, ({ orm }) =>
    act(createInboxStore({ orm, now: Date.now, newId: randomUUID })),
  )

const describe = (event: DeadEvent): readonly string[] => {
  const { id, provider, eventId, type, objectId, attempts, deadAt, reason } = event
  const tries = attempts === 1 ? '1 attempt' : `${attempts} attempts`
  return [
    `${id}  ${provider}  ${type}  ${objectId ?? '-'}  dead since ${deadAt}`,
    `  ${eventId}, after ${tries}: ${reason ?? '-'}`,
  ]
}
