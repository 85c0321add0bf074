import { defineScript } from '../script.js'
import { MAX_SESSIONS_PER_TAG } from './store.js'

/**
 * All sessions of a tag are one hash, so that each operation is one step on one key:
 *   s<digest>  expires idle ends created guest accountId
 *   x<digest>  created until, remembered until: this one was revoked
 *   x          created until, remembered until: none of them is put back
 * Expired fields are swept by whoever begins a session; the key expires with the last of them.
 * Of too many marks, those of the oldest sessions become one of all sessions as old: what Redis has
 * is live all the same, and what was revoked stays so.
 */
const MAX_MARKS = 1_000
const FIELDS = `
local key = KEYS[1]
local function parse(value)
  return string.match(value, '^(%d+) (%d+) (%d+) (%d+) (.*)$')
end
local function keepUntil(untilMs)
  local left = untilMs - now
  if left > redis.call('PTTL', key) then redis.call('PEXPIRE', key, left) end
end
local function allMark()
  local at, untilMs = string.match(redis.call('HGET', key, 'x') or '', '^(%d+) (%d+)$')
  return tonumber(at) or -1, tonumber(untilMs) or -1
end
local function markAll(at, untilMs)
  local knownAt, knownUntil = allMark()
  at, untilMs = math.max(at, knownAt), math.max(untilMs, knownUntil)
  if untilMs <= now then return end
  redis.call('HSET', key, 'x', string.format('%.0f %.0f', at, untilMs))
  keepUntil(untilMs)
end
local function fold(marks)
  table.sort(marks, function(a, b) return a[2] < b[2] end)
  local at, untilMs = 0, 0
  for i = 1, #marks - ${MAX_MARKS / 2} do
    at, untilMs = marks[i][2], math.max(untilMs, marks[i][3])
    redis.call('HDEL', key, marks[i][1])
  end
  markAll(at, untilMs)
end
local function sweep()
  local fields, live, marks = redis.call('HGETALL', key), {}, {}
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local session = string.sub(name, 1, 1) == 's'
    local expires = string.match(value, session and '^(%d+)' or '(%d+)$')
    if tonumber(expires) <= now then
      redis.call('HDEL', key, name)
    elseif session then
      live[#live + 1] = { name, tonumber(expires), value }
    elseif name ~= 'x' then
      marks[#marks + 1] = { name, tonumber(string.match(value, '^%d+')), tonumber(expires) }
    end
  end
  if #marks > ${MAX_MARKS} then fold(marks) end
  return live
end
local function mark(digest, at, untilMs)
  if untilMs <= now then return end
  redis.call('HSET', key, 'x' .. digest, string.format('%.0f %.0f', at, untilMs))
  keepUntil(untilMs)
  if redis.call('HLEN', key) > ${MAX_SESSIONS_PER_TAG + MAX_MARKS + 1} then sweep() end
end
`

/**
 * ARGV: digest, when it expires or 0 for a new one, idle, ends, created, the rest, most sessions.
 * Gives when it expires, of one that is there already the later of both, or 0: it was revoked; and
 * when it was created: a new one counts as newer than all that were revoked.
 */
export const CREATE = defineScript(`${FIELDS}
local digest, expires = ARGV[1], tonumber(ARGV[2])
local idle, ends, created = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local live = sweep()
local allUntil = allMark()
if expires == 0 then
  expires = math.min(now + idle, ends)
  -- by a clock ahead, it would outlive what ends all that began until now
  created = math.max(math.min(created, now), allUntil + 1)
end
local existing = redis.call('HGET', key, 's' .. digest)
if not existing and created <= allUntil or redis.call('HEXISTS', key, 'x' .. digest) == 1 then
  return { 0, created }
end
if expires <= now then return { expires, created } end
if existing then
  local known, _, _, knownCreated = parse(existing)
  known, created = tonumber(known), tonumber(knownCreated)
  if known >= expires then return { known, created } end
elseif #live >= tonumber(ARGV[7]) then
  table.sort(live, function(a, b) return a[2] < b[2] end)
  local name, untilMs, value = unpack(live[1])
  local _, _, _, at = parse(value)
  redis.call('HDEL', key, name)
  mark(string.sub(name, 2), tonumber(at), untilMs)
end
local value = string.format('%.0f %.0f %.0f %.0f %s', expires, idle, ends, created, ARGV[6])
redis.call('HSET', key, 's' .. digest, value)
keepUntil(expires)
return { expires, created }
`)

/** ARGV: digest, 1 to prolong it. Gives the field; nothing when there is none. */
export const READ = defineScript(`${FIELDS}
local name = 's' .. ARGV[1]
local value = redis.call('HGET', key, name)
if not value then return false end
local expires, idle, ends, created, rest = parse(value)
if tonumber(expires) <= now then return false end
if ARGV[2] == '0' then return value end
expires = math.min(now + tonumber(idle), tonumber(ends))
value = string.format('%.0f %s %s %s %s', expires, idle, ends, created, rest)
redis.call('HSET', key, name, value)
keepUntil(expires)
return value
`)

/**
 * ARGV: digest, when it was revoked, remembered for, how much longer than its idle time at most.
 * Gives 1 when it was there; then it is remembered for as long as a process may take it for live.
 */
export const REVOKE = defineScript(`${FIELDS}
local digest, at, untilMs = ARGV[1], tonumber(ARGV[2]), now + tonumber(ARGV[3])
local value = redis.call('HGET', key, 's' .. digest)
local was = false
if value then
  local expires, idle, _, created = parse(value)
  was = tonumber(expires) > now
  at, untilMs = tonumber(created), math.min(untilMs, now + tonumber(idle) + tonumber(ARGV[4]))
  redis.call('HDEL', key, 's' .. digest)
end
local known = redis.call('HGET', key, 'x' .. digest)
if not known or tonumber(string.match(known, '%d+$')) < untilMs then mark(digest, at, untilMs) end
return was and 1 or 0
`)

/** ARGV: created until, remembered for, 1 for all however new. Gives how many there were. */
export const REVOKE_ALL = defineScript(`${FIELDS}
local count, newest, createdUntil, untilMs = 0, -1, tonumber(ARGV[1]), now + tonumber(ARGV[2])
for _, session in ipairs(sweep()) do
  local _, _, _, created = parse(session[3])
  created = tonumber(created)
  if ARGV[3] == '1' or created <= createdUntil then
    redis.call('HDEL', key, session[1])
    count = count + 1
    -- one that began by a clock ahead of ours must not be put back either
    newest = math.max(newest, created)
  end
end
markAll(math.max(createdUntil, newest), untilMs)
return count
`)
