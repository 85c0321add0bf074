import { Cluster, type Redis } from 'ioredis'
import type { RedisClient } from '../connection.js'
import type { Link } from '../link.js'
import { shortKey } from '../short-key.js'
import { COUNTER_TTL_MS, type CountersStore } from './store.js'

/** Of one board; who has the lowest scores makes room. */
const MAX_MEMBERS = 100_000

export type RedisCountersDeps = { readonly link: Link; readonly keyPrefix: string }

/** The counters that all processes share. */
export const createRedisCounters = ({ link, keyPrefix }: RedisCountersDeps): CountersStore => {
  const nameOf = (kind: 'c' | 'b' | 's', name: string) => `${keyPrefix}co:${kind}:${shortKey(name)}`
  return {
    async add(increments) {
      const work = increments.map(({ counter, by }) => ({ key: nameOf('c', counter), by }))
      await link.run((client) =>
        forEach(client, work, (commands, { key, by }) => [
          commands.incrby(key, by),
          commands.pexpire(key, COUNTER_TTL_MS),
        ]),
      )
    },
    async read(counters) {
      const keys = counters.map((counter) => nameOf('c', counter))
      const values = await link.run((client) =>
        forEach(client, keys, (commands, key) => [commands.get(key)]),
      )
      return values.map((value) => Number(value ?? 0))
    },
    async set(values) {
      const work = values.map(({ counter, value }) => ({ key: nameOf('c', counter), value }))
      await link.run((client) =>
        forEach(client, work, (commands, { key, value }) => [
          commands.set(key, value, 'PX', COUNTER_TTL_MS),
        ]),
      )
    },
    async score(board, member, by) {
      // scores are kept negated: then equal ones come in the order of their members
      await link.run((client) =>
        forEach(client, [nameOf('b', board)], (commands, key) => [
          commands.zincrby(key, -by, member),
          commands.zremrangebyrank(key, MAX_MEMBERS, -1),
          commands.pexpire(key, COUNTER_TTL_MS),
        ]),
      )
    },
    async top(board, limit) {
      const flat = await link.run((client) =>
        client.zrange(nameOf('b', board), '0', String(limit - 1), 'WITHSCORES'),
      )
      return pairsOf(flat).map(([member, score]) => ({ member, score: 0 - Number(score) }))
    },
    async mark(set, members) {
      if (members.length === 0) return
      await link.run((client) =>
        forEach(client, [nameOf('s', set)], (commands, key) => [
          commands.pfadd(key, ...members),
          commands.pexpire(key, COUNTER_TTL_MS),
        ]),
      )
    },
    distinct: (set) => link.run((client) => client.pfcount(nameOf('s', set))),
  }
}

const pairsOf = (flat: readonly string[]): [string, string][] => {
  const pairs: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i] ?? '', flat[i + 1] ?? '0'])
  return pairs
}

type Commands = Pick<
  Redis,
  'incrby' | 'pexpire' | 'get' | 'set' | 'zincrby' | 'zremrangebyrank' | 'pfadd'
>

/** All commands in one round trip; each item's first answer. */
const forEach = async <T>(
  client: RedisClient,
  items: readonly T[],
  commandsOf: (commands: Commands, item: T) => readonly unknown[],
): Promise<readonly unknown[]> => {
  if (client instanceof Cluster) {
    // the keys are spread over the servers, so each command goes its own way
    const all = items.map((item) => Promise.all(commandsOf(client as unknown as Commands, item)))
    return (await Promise.all(all)).map(([first]) => first)
  }
  const pipeline = client.pipeline()
  let width = 0
  for (const item of items) width = commandsOf(pipeline as unknown as Commands, item).length
  const answers = (await pipeline.exec()) ?? []
  return items.map((_item, index) => {
    const [error, value] = answers[index * width] ?? [null, null]
    if (error) throw error
    return value
  })
}
