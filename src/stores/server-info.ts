import { mastersOf } from './connection.js'
import type { Link } from './link.js'

/** What a Redis tells of itself; of a cluster, its masters together. */
export type ServerInfo = {
  readonly version: string
  readonly usedBytes: number
  /** null: without a limit of its own. */
  readonly maxBytes: number | null
  readonly hits: number
  readonly misses: number
  readonly evictions: number
}

/** Asks for it; at most so long. */
export const readServerInfo = async (link: Link, timeoutMs: number): Promise<ServerInfo> => {
  const texts = await link.attempt(
    (client) => Promise.all(mastersOf(client).map((master) => master.info())),
    timeoutMs,
  )
  const sum = (name: string) => texts.reduce((total, text) => total + numberOf(text, name), 0)
  const maxBytes = sum('maxmemory')
  return {
    version: /^redis_version:(\S+)/m.exec(texts[0] ?? '')?.[1] ?? 'unknown',
    usedBytes: sum('used_memory'),
    maxBytes: maxBytes === 0 ? null : maxBytes,
    hits: sum('keyspace_hits'),
    misses: sum('keyspace_misses'),
    evictions: sum('evicted_keys'),
  }
}

const numberOf = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(text)?.[1] ?? 0)

/** Scripts that write after they have asked for the time: an older one refuses them. */
export const OLDEST_VERSION = '5.0'

/** Whether a version is one that can not be used; one that is not told is given the benefit. */
export const isTooOld = (version: string): boolean => {
  if (!/^\d/.test(version)) return false
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_VERSION.split('.').map(Number)
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor)
}
