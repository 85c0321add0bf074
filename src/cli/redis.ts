import { withStores } from '../compose-command.js'
import { DatabaseSetupError } from '../db/setup-error.js'
import { listKeys, type RoleTrials, tryRoles } from '../stores/inspect.js'
import type { RedisHealth, RedisMetrics } from '../stores/redis-health.js'
import { command, json, show, warn } from './command.js'

const NOT_CONFIGURED =
  'Redis not configured: set REDIS_URL (or UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, ' +
  'or KV_REST_API_URL and KV_REST_API_TOKEN), and if you like REDIS_CACHE_URL and REDIS_SESSION_URL'

export const redisCheckCommand = command(
  'Try each Redis that is configured; exits with 1 unless all are well',
  { json },
  ({ args, config }) =>
    withStores(config, async ({ inspection, reports }) => {
      const roles = await tryRoles(inspection)
      if (roles.length === 0) {
        show({ ok: false, configured: false, message: NOT_CONFIGURED }, [NOT_CONFIGURED], args.json)
        return false
      }
      const isWell = roles.every(({ trials }) => trials.every((trial) => trial.isWell))
      const usage = await reports.getMetrics()
      const { keyPrefix } = config.redis
      const value = { ok: isWell, configured: true, keyPrefix, roles: roles.map(trialsOf), usage }
      const about = isWell ? [`prefix   ${keyPrefix}`, ...usageLines(usage)] : []
      const lines = [...roles.flatMap(linesOf), ...about]
      show(value, lines, args.json)
      return isWell
    }),
)

const trialsOf = ({ role, variable, trials }: RoleTrials) => ({
  role,
  variable,
  ok: trials.every(({ isWell }) => isWell),
  checks: trials.map(({ name, isWell, detail }) => ({ check: name, ok: isWell, detail })),
})

const linesOf = ({ role, variable, trials }: RoleTrials): readonly string[] =>
  trials.map(
    ({ name, isWell, detail }) =>
      `${isWell ? 'ok     ' : 'FAILED '}  ${role.padEnd(7)}  ${name.padEnd(7)}  ${detail}` +
      `${isWell ? '' : ` (${variable})`}`,
  )

const usageLines = ({ commandsToday, commandsThisMonth, usedBytes, budget }: RedisMetrics) => [
  `commands ${commandsToday} today, ${commandsThisMonth} this month, ` +
    `${percent(budget.commandsShare)} of ${budget.commandsPerMonth}`,
  `memory   ${megabytes(usedBytes)}, ${percent(budget.bytesShare)} of ${megabytes(budget.bytes)}`,
]

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`
const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`

export const redisHealthCommand = command(
  'Tell how Redis is; exits with 1 when it is configured and away',
  { json },
  ({ args, config }) =>
    withStores(config, async ({ reports }) => {
      const health = await reports.checkHealth()
      show(health, healthLines(health), args.json)
      return health.status !== 'degraded'
    }),
)

const healthLines = (health: RedisHealth): readonly string[] => {
  if (!health.configured) return [NOT_CONFIGURED]
  const roles = Object.entries(health.roles).map(([role, one]) => {
    const state = one.connected ? `ok, ${one.latencyMs} ms` : (one.reason ?? 'not configured')
    return `${role.padEnd(9)}${state}${one.variable === null ? '' : ` (${one.variable})`}`
  })
  const { memory, hits, misses, evictions, errorRate } = health
  if (memory === null) return [`status   ${health.status}`, ...roles]
  const limit = memory.maxBytes === null ? 'no limit' : `of ${megabytes(memory.maxBytes)}`
  return [
    `status   ${health.status}`,
    ...roles,
    `memory   ${megabytes(memory.usedBytes)}, ${limit}`,
    `keys     ${hits} hits, ${misses} misses, ${evictions} evicted`,
    `errors   ${percent(errorRate)}`,
  ]
}

/** So many are looked at; in a Redis that holds more, some may be missed. */
const MAX_KEYS = 100_000

export const redisKeysCommand = command(
  "List this environment's keys in Redis with their sizes, the largest first",
  { limit: { type: 'string', description: 'How many of the largest', default: '1000' }, json },
  ({ args, config }) => {
    const limit = /^[1-9]\d{0,5}$/.test(args.limit) ? Number(args.limit) : 0
    if (limit < 1 || limit > MAX_KEYS) {
      throw new DatabaseSetupError(`--limit must be a whole number from 1 to ${MAX_KEYS}`)
    }
    return withStores(config, async ({ inspection, reports }) => {
      const health = await reports.checkHealth()
      if (health.status !== 'ok') {
        show(health, healthLines(health), args.json)
        return false
      }
      const found = await listKeys(inspection, MAX_KEYS)
      const keys = found.keys.slice(0, limit)
      const total = found.keys.reduce((sum, { bytes }) => sum + bytes, 0)
      if (found.isCut) warn(`only ${MAX_KEYS} keys were looked at: there may be larger ones`)
      const lines = keys.map(
        ({ key, type, bytes, ttlMs }) =>
          `${String(bytes).padStart(10)}  ${type.padEnd(6)}  ${lifeOf(ttlMs).padStart(9)}  ${key}`,
      )
      const { keyPrefix } = config.redis
      const count = found.keys.length
      const cut = count > keys.length ? `, the largest ${keys.length} of them listed` : ''
      const summary = `${count} keys, ${total} bytes, prefix ${keyPrefix}${cut}`
      const value = { keyPrefix, keys, count, bytes: total, isCut: found.isCut }
      show(value, [...lines, summary], args.json)
      return true
    })
  },
)

const lifeOf = (ttlMs: number): string => (ttlMs < 0 ? 'for ever' : `${Math.ceil(ttlMs / 1_000)} s`)
