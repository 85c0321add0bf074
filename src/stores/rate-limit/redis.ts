import type { Link } from '../link.js'
import { defineScript, runScript } from '../script.js'
import { shortKey } from '../short-key.js'
import { type Limit, type LimitState, type RateLimitStore, stepMsOf } from './store.js'

/**
 * One hash for each key: the time at which a step began, and the units taken in it. A time that is
 * yet to come was noted by a clock that has been set back since: it counts from now on.
 */
export const TAKE = defineScript(`
local max, window, step = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, peeks = tonumber(ARGV[4]), ARGV[5] == '1'
local fields = redis.call('HGETALL', KEYS[1])
local current = now - now % step
local steps, gone, used, moved = {}, {}, 0, 0
for i = 1, #fields, 2 do
  local at, count = tonumber(fields[i]), tonumber(fields[i + 1])
  if at > now then
    gone[#gone + 1] = fields[i]
    moved = moved + count
    at = current
  end
  local leaves = at + step - 1 + window
  if leaves <= now then
    gone[#gone + 1] = fields[i]
  else
    used = used + count
    steps[#steps + 1] = { leaves, count }
  end
end
local allowed = used + cost <= max
if not peeks then
  if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
  local added = moved
  if allowed then
    added = added + cost
    used = used + cost
    steps[#steps + 1] = { current + step - 1 + window, cost }
  end
  if added > 0 then
    redis.call('HINCRBY', KEYS[1], current, added)
    redis.call('PEXPIRE', KEYS[1], window + step)
  end
end
table.sort(steps, function(a, b) return a[1] < b[1] end)
local reset, retry = 0, 0
if #steps > 0 then reset = steps[1][1] - now end
if not allowed then
  local excess, left = used + cost - max, 0
  for i = 1, #steps do
    left = left + steps[i][2]
    retry = steps[i][1] - now
    if left >= excess then break end
  end
end
return { allowed and 1 or 0, math.max(0, max - used), reset, retry }
`)

export type RedisRateLimitDeps = { readonly link: Link; readonly keyPrefix: string }

/** The limits of all processes together, counted by the server's clock. */
export const createRedisRateLimit = ({ link, keyPrefix }: RedisRateLimitDeps): RateLimitStore => {
  const ask = (key: string, limit: Limit, cost: number, peeks: 0 | 1): Promise<LimitState> =>
    link.run(async (client) => {
      const args = [limit.max, limit.windowMs, stepMsOf(limit), cost, peeks]
      return stateOf(await runScript(client, TAKE, `${keyPrefix}rl:${shortKey(key)}`, args))
    })
  return {
    take: (key, limit, cost) => ask(key, limit, cost, 0),
    peek: (key, limit) => ask(key, limit, 1, 1),
  }
}

const stateOf = (reply: unknown): LimitState => {
  const [allowed, remaining, resetMs, retryAfterMs] = (reply as readonly unknown[]).map(Number)
  return {
    isAllowed: allowed === 1,
    remaining: remaining ?? 0,
    resetMs: resetMs ?? 0,
    retryAfterMs: retryAfterMs ?? 0,
  }
}
