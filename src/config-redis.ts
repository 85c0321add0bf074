import type { Settings } from './settings.js'
import { getKeyPrefix, type PrefixEnvironment } from './stores/prefix.js'
import { findRedisTargets, type RedisTargets, RedisUrlError } from './stores/urls.js'

export type RedisConfig = {
  readonly targets: RedisTargets
  readonly keyPrefix: string
  readonly timeoutMs: number
  readonly budget: { readonly commandsPerMonth: number; readonly bytes: number }
}

/** What the environment says of Redis; adds to the problems what can not be used. */
export const readRedisTargets = (env: PrefixEnvironment, problems: string[]): RedisTargets => {
  try {
    return findRedisTargets(env)
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error
    problems.push(error.message)
    return { main: null, cache: null, session: null }
  }
}

export const redisConfigOf = (
  settings: Settings,
  targets: RedisTargets,
  env: PrefixEnvironment,
): RedisConfig => ({
  targets,
  keyPrefix: getKeyPrefix(env),
  timeoutMs: settings.REDIS_TIMEOUT_MS,
  budget: {
    commandsPerMonth: settings.REDIS_BUDGET_COMMANDS,
    bytes: settings.REDIS_BUDGET_MB * 1_048_576,
  },
})
