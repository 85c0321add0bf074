import { mastersOf, type RedisClient } from '../connection.js'
import type { Link } from '../link.js'
import { tagsOf } from '../probe.js'

/** Tells whether a Redis that returns is the one that went, with all that it held. */
export type Witness = {
  /**
   * The same text as the time before where it is the same server and has lost nothing since; null:
   * nobody can tell. Throws nothing.
   */
  ask(): Promise<string | null>
}

export type WitnessDeps = {
  readonly link: Link
  readonly keyPrefix: string
  readonly newId: () => string
}

/** Nobody waits for these, but they must end. */
const ASK_TIMEOUT_MS = 2_000
/** Once it is gone all is told again, which is always right: no need to prolong it. */
const MARKER_TTL_MS = 30 * 86_400_000

/**
 * A restart changes `run_id`, another server taking over or data taken over from another changes
 * `master_replid`, and keys that had to make room are counted. What was emptied has lost the
 * markers as well, of which every server of a cluster has some.
 */
const FACTS = ['run_id', 'master_replid', 'evicted_keys']

export const createWitness = ({ link, keyPrefix, newId }: WitnessDeps): Witness => {
  const ask = async (client: RedisClient): Promise<string | null> => {
    const [servers, markers] = await Promise.all([
      Promise.all(mastersOf(client).map(async (master) => factsOf(await master.info()))),
      Promise.all(tagsOf(client).map((tag) => mark(client, `${keyPrefix}told:{${tag}}`, newId()))),
    ])
    if (servers.length === 0 || servers.includes(null)) return null
    return JSON.stringify([servers.sort(), markers])
  }
  // a server may refuse to tell of itself: that is no reason to do without it
  return { ask: () => link.attempt(ask, ASK_TIMEOUT_MS).catch(() => null) }
}

const factsOf = (info: string): string | null => {
  const values = FACTS.map((name) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1])
  return values.includes(undefined) ? null : values.join(' ')
}

/** The marker that is there, or else this one. */
const mark = async (client: RedisClient, key: string, value: string): Promise<string | null> => {
  await client.set(key, value, 'PX', MARKER_TTL_MS, 'NX')
  return client.get(key)
}
