import { randomBytes } from 'node:crypto'
import type { Core } from './compose.js'
import { createBecome } from './sessions/become.js'
import { createConversion } from './sessions/conversion.js'
import { createGuestUpkeep } from './sessions/guest-upkeep.js'
import { createGuests } from './sessions/guests.js'
import { createRevocations } from './sessions/revocations.js'
import type { SessionRoutesDeps } from './sessions/routes.js'
import { createSessions } from './sessions/service.js'
import type { Revocations } from './stores/session/revocations.js'
import type { SessionStore } from './stores/session/store.js'

export type ComposedSessions = Pick<SessionRoutesDeps, 'sessions' | 'become'> & {
  /** Whose credits are those that an account has paid for: a guest may have become a user. */
  readonly payeeOf: (accountId: string) => Promise<string>
}

/** The sessions' services over their store, and their jobs. */
export const composeSessions = (core: Core, store: SessionStore): ComposedSessions => {
  const { ledger, upkeep, jobs, log, now, config } = core
  const guests = createGuests({ orm: core.db.orm, now })
  const times = config.sessions
  const sessions = createSessions({ store, guests, ledger, times, randomBytes, now })
  const conversion = createConversion({ ledger, upkeep, guests, sessions, now })
  const tend = createGuestUpkeep({
    guests,
    conversion,
    ledger,
    now,
    onFault: (error, accountId) =>
      log.warn({ err: error, accountId }, "a guest's account will be tried again"),
  })
  jobs.add({
    name: 'sessions.guests',
    cron: '* * * * *',
    timeoutMs: 50_000,
    run: async (signal) => `${await tend(signal)} accounts of guests closed`,
  })
  return {
    sessions,
    become: createBecome({ sessions, conversion }),
    payeeOf: guests.payeeOf,
  }
}

/** What remembers revocations while the store of the sessions is away, and the job that forgets. */
export const composeRevocations = ({ db, jobs }: Core): Revocations => {
  const revocations = createRevocations({ orm: db.orm })
  jobs.add({
    name: 'sessions.revocations',
    cron: '41 * * * *',
    timeoutMs: 10 * 60_000,
    run: async (signal) => `${await revocations.cleanUp(signal)} revocations of sessions deleted`,
  })
  return revocations
}
