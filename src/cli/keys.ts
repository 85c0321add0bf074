import { randomBytes, randomUUID } from 'node:crypto'
import { defineCommand } from 'citty'
import { createKey } from '../admin/api-keys.js'
import { createKeys, isKeyPosition, type Keys } from '../admin/keys.js'
import type { ApiKey } from '../admin/schema.js'
import { withDatabase } from '../compose-command.js'
import type { Config } from '../config.js'
import { DatabaseSetupError } from '../db/setup-error.js'
import { COMING_SCOPES, SCOPES, type Scope } from '../http/actor.js'
import { KEY_CACHE_TTL_MS } from '../http/auth.js'
import { decodeCursor } from '../http/page.js'
import { parseRate, RATE_FORM } from '../policies.js'
import { command, json, show, warn } from './command.js'

const DAY_MS = 86_400_000
const PAGE = 200
/** There are a thousand live keys at most; what was revoked is listed as far as this. */
const MAX_PAGES = 50

const USED_SCOPES = SCOPES.filter((scope) => !COMING_SCOPES.includes(scope))
const SCOPES_HELP =
  `Of ${USED_SCOPES.join(', ')}, with commas between; ` +
  `${COMING_SCOPES.join(', ')} are taken too, and open nothing yet`

const createKeyCommand = command(
  'Make an API key; it is printed once and never again',
  {
    name: { type: 'string', description: 'What it is for', required: true },
    scopes: { type: 'string', description: SCOPES_HELP, default: 'admin' },
    limit: { type: 'string', description: 'A rate limit of its own, such as 600/1m' },
    days: { type: 'string', description: 'How many days it lasts; for ever when not given' },
    json,
  },
  async ({ args, config }) => {
    const scopes = [...new Set(args.scopes.split(',').map((scope) => scope.trim()))]
    const unknown = scopes.filter((scope) => !SCOPES.includes(scope as Scope))
    if (unknown.length > 0) {
      throw new DatabaseSetupError(`unknown scope ${unknown.join(', ')}: ${SCOPES.join(', ')}`)
    }
    if (args.days !== undefined && !/^[1-9]\d{0,4}$/.test(args.days)) {
      throw new DatabaseSetupError('--days must be a whole number from 1')
    }
    const expiresAtMs = args.days === undefined ? null : Date.now() + Number(args.days) * DAY_MS
    const wanted = {
      name: args.name,
      scopes: scopes as Scope[],
      prefix: config.apiKeyPrefix,
      expiresAtMs,
      rateLimit: rateLimitIn(args.limit),
    }
    const deps = { newId: randomUUID, randomBytes, now: Date.now }
    const made = await withDatabase(config, (db) => createKey(db.orm, wanted, deps))
    for (const scope of scopes.filter((name) => COMING_SCOPES.includes(name))) {
      warn(`${scope} opens nothing yet`)
    }
    show(made, [made.key], args.json)
    return true
  },
)

const rateLimitIn = (text: string | undefined) => {
  if (text === undefined) return null
  const limit = parseRate(text)
  if (limit === null) throw new DatabaseSetupError(`--limit ${RATE_FORM}`)
  return { max: limit.max, windowSeconds: limit.windowMs / 1_000 }
}

const listCommand = command(
  'List the API keys, newest first; never the keys themselves',
  { all: { type: 'boolean', description: 'Also those that are revoked or have expired' }, json },
  async ({ args, config }) => {
    const all = await withKeys(config, allOf)
    const now = Date.now()
    const apiKeys = args.all ? all : all.filter((key) => stateOf(key, now) === 'active')
    const lines = apiKeys.map((key) => lineOf(key, now))
    show({ apiKeys }, lines.length > 0 ? lines : ['no API keys'], args.json)
    return true
  },
)

const revokeCommand = command(
  'Revoke an API key; to change one, make the new one, use it, then revoke the old',
  { id: { type: 'positional', description: 'As keys list shows it', required: true }, json },
  async ({ args, config }) => {
    const revoked = await withKeys(config, (keys) => keys.revoke(args.id))
    const { id, name, prefix } = revoked
    const within = `running instances refuse it within ${KEY_CACHE_TTL_MS / 1000} seconds`
    show(revoked, [`revoked ${id} (${name}, ${prefix}…): ${within}`], args.json)
    return true
  },
)

export const keysCommand = defineCommand({
  meta: { description: 'API keys' },
  subCommands: { create: createKeyCommand, list: listCommand, revoke: revokeCommand },
})

const withKeys = <T>(config: Config, act: (keys: Keys) => Promise<T>): Promise<T> =>
  withDatabase(config, (db) =>
    act(
      createKeys({
        db,
        newId: randomUUID,
        randomBytes,
        now: Date.now,
        prefix: config.apiKeyPrefix,
        hasConfiguredKey: config.apiKey !== null,
        forget: () => {},
      }),
    ),
  )

const allOf = async (keys: Keys): Promise<ApiKey[]> => {
  const all: ApiKey[] = []
  let cursor: string | null = null
  for (let page = 0; page < MAX_PAGES; page++) {
    const after = decodeCursor(cursor ?? undefined, isKeyPosition)
    const { items, nextCursor } = await keys.list({ after, limit: PAGE })
    all.push(...items)
    cursor = nextCursor
    if (cursor === null) break
  }
  return all
}

type State = 'active' | 'expired' | 'revoked'

const stateOf = ({ revokedAt, expiresAt }: ApiKey, nowMs: number): State => {
  if (revokedAt !== null) return 'revoked'
  return expiresAt !== null && Date.parse(expiresAt) <= nowMs ? 'expired' : 'active'
}

const lineOf = (key: ApiKey, nowMs: number): string => {
  const { id, prefix, scopes, createdAt, expiresAt, name } = key
  const ends = expiresAt === null ? '' : `, until ${expiresAt}`
  const state = stateOf(key, nowMs).padEnd('revoked'.length)
  return `${id}  ${prefix}…  ${state}  ${scopes.join(',')}  since ${createdAt}${ends}  ${name}`
}
