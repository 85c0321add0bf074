import { Cluster } from 'ioredis'
import { mastersOf, type RedisClient } from './connection.js'
import type { Script } from './script.js'

/** Of the 16,384 slots of a cluster, so many are tried: each master has some of them. */
const PROBED_SLOTS = 32
const SLOTS = 16_384
const PROBE_TTL_MS = 10_000

/** Writes something to every server that holds keys; throws where one does not take it. */
export const probe = async (
  client: RedisClient,
  keyPrefix: string,
  scripts: readonly Script[],
): Promise<void> => {
  await Promise.all([
    ...tagsOf(client).map((tag) =>
      client.set(`${keyPrefix}probe:{${tag}}`, '1', 'PX', PROBE_TTL_MS),
    ),
    ...mastersOf(client).flatMap((master) => scripts.map(({ lua }) => master.script('LOAD', lua))),
  ])
}

/** Hash tags of which every server that holds keys has some. */
export const tagsOf = (client: RedisClient): readonly string[] =>
  client instanceof Cluster ? CLUSTER_TAGS : ['0']

/** As the specification of Redis Cluster has it: CRC16 in the variant of XMODEM. */
const slotOf = (tag: string): number => {
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit += 1) {
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
    }
  }
  return crc % SLOTS
}

/** Tags that fall into slots spread evenly over all of them. */
const spreadTags = (): readonly string[] => {
  const found = new Map<number, string>()
  for (let i = 0; found.size < PROBED_SLOTS; i += 1) {
    const part = Math.floor(slotOf(String(i)) / (SLOTS / PROBED_SLOTS))
    if (!found.has(part)) found.set(part, String(i))
  }
  return [...found.values()]
}

const CLUSTER_TAGS = spreadTags()
