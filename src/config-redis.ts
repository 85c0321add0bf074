import type { Settings } from './settings.js'
import { getKeyPrefix, type PrefixEnvironment } from './stores/prefix.js'
import { findRedisTargets, type RedisTargets } from './stores/urls.js'

export type RedisConfig = {
  readonly targets: RedisTargets
  readonly keyPrefix: string
  readonly timeoutMs: number
  readonly budget: { readonly commandsPerMonth: number; readonly bytes: number }
}

/**
 * What the environment says of Redis. A URL that can not be used is no reason not to start: its
 * roles are served without it, and say so.
 */
export const redisConfigOf = (settings: Settings, env: PrefixEnvironment): RedisConfig => ({
  targets: findRedisTargets(env),
  keyPrefix: getKeyPrefix(env),
  timeoutMs: settings.REDIS_TIMEOUT_MS,
  budget: {
    commandsPerMonth: settings.REDIS_BUDGET_COMMANDS,
    bytes: settings.REDIS_BUDGET_MB * 1_048_576,
  },
})
