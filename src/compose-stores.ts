import { performance } from 'node:perf_hooks'
import type { Logger } from 'pino'
import type { Config } from './config.js'
import { type OpenStores, openStores } from './stores/open.js'
import type { Revocations } from './stores/session/revocations.js'

/** A start does not wait longer to find Redis well. */
const SETTLE_MS = 100

export type ComposeStoresDeps = {
  readonly config: Pick<Config, 'redis'>
  readonly log: Logger
  /** The database's time, in ms since the epoch. */
  readonly now: () => number
  readonly revocations: Revocations
}

/** The stores of short-lived state; with or without Redis, they are there. */
export const composeStores = async (deps: ComposeStoresDeps): Promise<OpenStores> => {
  const { config, log, now, revocations } = deps
  const stores = openStores({
    ...config.redis,
    nowMs: now,
    monotonicMs: () => performance.now(),
    revocations,
    log,
  })
  if (Object.values(stores.links).every((link) => link === null)) {
    log.info('Redis not configured: limits, sessions and cache live in this process alone')
  }
  await stores.settle(SETTLE_MS)
  return stores
}
