import { mastersOf, type RedisClient } from './connection.js'
import { withinDeadline } from './deadline.js'
import type { Link } from './link.js'
import type { Links } from './open.js'
import { createRedisRateLimit } from './rate-limit/redis.js'
import { reasonOf } from './reason.js'
import { isTooOld, OLDEST_VERSION, readServerInfo } from './server-info.js'
import { REDIS_ROLES, type RedisRole } from './urls.js'

export type Trial = { readonly name: string; readonly isWell: boolean; readonly detail: string }

export type RoleTrials = {
  readonly role: RedisRole
  readonly variable: string
  readonly trials: readonly Trial[]
}

export type InspectDeps = {
  readonly links: Links
  readonly keyPrefix: string
  readonly monotonicMs: () => number
  readonly newId: () => string
}

const TIMEOUT_MS = 500
/** For many keys at once. */
const PAGE_TIMEOUT_MS = 2_000
const ROUND_TRIPS = 5
const PROBE_TTL_MS = 10_000

/** Tries each role that is configured: an answer, a write that is read back, and for limits one. */
export const tryRoles = async (deps: InspectDeps): Promise<readonly RoleTrials[]> => {
  const found: RoleTrials[] = []
  for (const role of REDIS_ROLES) {
    const link = deps.links[role]
    if (link === null) continue
    const answer = await tryAnswer(link, deps)
    const trials = [answer]
    const version = answer.isWell ? await tryVersion(link) : null
    if (version !== null) trials.push(version)
    // what does not answer need not be asked further
    if (answer.isWell) trials.push(await tryWrite(link, deps))
    if (answer.isWell && role === 'main') trials.push(await tryLimit(link, deps))
    found.push({ role, variable: link.target.variable, trials })
  }
  return found
}

const attempt = async (name: string, act: () => Promise<string>): Promise<Trial> => {
  try {
    return { name, isWell: true, detail: await act() }
  } catch (error) {
    const reason = reasonOf(error instanceof Error ? error : new Error(String(error)))
    return { name, isWell: false, detail: reason }
  }
}

const tryAnswer = (link: Link, { monotonicMs }: InspectDeps): Promise<Trial> =>
  attempt('latency', async () => {
    const trouble = link.trouble()
    if (trouble !== null) throw trouble
    const times: number[] = []
    for (let i = 0; i < ROUND_TRIPS; i += 1) {
      const startedMs = monotonicMs()
      await link.attempt((client) => client.ping(), TIMEOUT_MS)
      times.push(monotonicMs() - startedMs)
    }
    return `${Math.min(...times).toFixed(1)} ms at best of ${ROUND_TRIPS}`
  })

/** Told only where it is the reason why the rest fails. */
const tryVersion = async (link: Link): Promise<Trial | null> => {
  const info = await readServerInfo(link, TIMEOUT_MS).catch(() => null)
  if (info === null || !isTooOld(info.version)) return null
  const detail = `it is Redis ${info.version}, and must be ${OLDEST_VERSION} or later`
  return { name: 'version', isWell: false, detail }
}

const tryWrite = (link: Link, { keyPrefix, newId }: InspectDeps): Promise<Trial> =>
  attempt('write', async () => {
    const [key, value] = [`${keyPrefix}check:${newId()}`, newId()]
    const act = async (client: RedisClient) => {
      await client.set(key, value, 'PX', PROBE_TTL_MS)
      const read = await client.get(key)
      await client.unlink(key)
      return read
    }
    const read = await link.attempt(act, TIMEOUT_MS)
    if (read !== value) throw new Error('what was written was not read back')
    return 'written, read back and deleted'
  })

const tryLimit = (link: Link, { keyPrefix, newId }: InspectDeps): Promise<Trial> =>
  attempt('limit', async () => {
    // through the link itself, and not through what stands in for it
    const direct = {
      ...link,
      run: <T>(act: (client: RedisClient) => Promise<T>) => link.attempt(act, TIMEOUT_MS),
    }
    const limits = createRedisRateLimit({ link: direct, keyPrefix })
    const [key, limit] = [`check:${newId()}`, { max: 1, windowMs: PROBE_TTL_MS }]
    const first = await limits.take(key, limit, 1)
    const second = await limits.take(key, limit, 1)
    if (!first.isAllowed || second.isAllowed) throw new Error('the limit did not hold')
    return 'one of one let through, the next refused'
  })

export type KeySize = {
  readonly key: string
  readonly type: string
  readonly bytes: number
  /** -1: for ever. */
  readonly ttlMs: number
}

export type KeyList = {
  readonly keys: readonly KeySize[]
  /** Whether there may be more than were looked at. */
  readonly isCut: boolean
}

const PAGE_KEYS = 500
const MAX_PAGES = 100_000

/** This environment's keys with their sizes, the largest first; looks at `maxKeys` of them. */
export const listKeys = async (
  { links, keyPrefix }: InspectDeps,
  maxKeys: number,
): Promise<KeyList> => {
  const found = new Map<string, KeySize>()
  let isCut = false
  const pattern = `${keyPrefix.replace(/[\\*?[\]^]/g, '\\$&')}*`
  for (const link of new Set(Object.values(links).flatMap((one) => one ?? []))) {
    const servers = await link.attempt(async (client) => mastersOf(client), TIMEOUT_MS)
    for (const server of servers) {
      const isWhole = await listServer(server, pattern, (sizes) => {
        // a key may be told of more than once
        for (const size of sizes.slice(0, maxKeys - found.size)) found.set(size.key, size)
        return found.size < maxKeys
      })
      isCut ||= !isWhole
    }
  }
  return { keys: [...found.values()].sort((a, b) => b.bytes - a.bytes), isCut }
}

type Server = ReturnType<typeof mastersOf>[number]

/** Gives page after page until there are no more, or no more are wanted; whether that was all. */
const listServer = async (
  server: Server,
  pattern: string,
  take: (sizes: readonly KeySize[]) => boolean,
): Promise<boolean> => {
  let cursor = '0'
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const [next, keys] = await withinDeadline(
      server.scan(cursor, 'MATCH', pattern, 'COUNT', PAGE_KEYS),
      PAGE_TIMEOUT_MS,
    )
    const sizes = keys.map((key) => sizeOf(server, key))
    const wantsMore = take(await withinDeadline(Promise.all(sizes), PAGE_TIMEOUT_MS))
    cursor = next
    if (cursor === '0') return true
    if (!wantsMore) return false
  }
  return false
}

const sizeOf = async (server: Server, key: string): Promise<KeySize> => {
  const [type, bytes, ttlMs] = await Promise.all([
    server.type(key),
    server.memory('USAGE', key),
    server.pttl(key),
  ])
  return { key, type, bytes: bytes ?? 0, ttlMs }
}
