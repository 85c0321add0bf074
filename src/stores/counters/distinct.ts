import { createHash } from 'node:crypto'

export type Distinct = {
  add(member: string): void
  count(): number
}

/** So many members are counted one by one, beyond that by HyperLogLog as Redis does. */
const EXACT_MEMBERS = 256
const INDEX_BITS = 14
const REGISTERS = 2 ** INDEX_BITS
const HASH_BITS = 64n - BigInt(INDEX_BITS)
/** Harmonic mean to cardinality, for this many registers. */
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)

/** Counts different members in at most 16 KiB, however many there are. */
export const createDistinct = (): Distinct => {
  let exact: Set<bigint> | null = new Set()
  const registers = { values: new Uint8Array(0) }
  return {
    add(member) {
      const hash = hashOf(member)
      if (exact === null) return note(registers.values, hash)
      exact.add(hash)
      if (exact.size <= EXACT_MEMBERS) return
      registers.values = new Uint8Array(REGISTERS)
      for (const seen of exact) note(registers.values, seen)
      exact = null
    },
    count: () => exact?.size ?? estimate(registers.values),
  }
}

const hashOf = (member: string): bigint =>
  createHash('sha256').update(member).digest().readBigUInt64BE()

const note = (registers: Uint8Array, hash: bigint): void => {
  const index = Number(hash >> HASH_BITS)
  const rest = hash & ((1n << HASH_BITS) - 1n)
  const rank = Number(HASH_BITS) - rest.toString(2).length + 1
  registers[index] = Math.max(registers[index] ?? 0, rank)
}

const estimate = (registers: Uint8Array): number => {
  let sum = 0
  let empty = 0
  for (const rank of registers) {
    sum += 2 ** -rank
    if (rank === 0) empty += 1
  }
  const raw = (ALPHA * REGISTERS * REGISTERS) / sum
  // few members leave many registers empty, which tell more than the mean does
  const isFew = raw <= 2.5 * REGISTERS && empty > 0
  return Math.round(isFew ? REGISTERS * Math.log(REGISTERS / empty) : raw)
}
