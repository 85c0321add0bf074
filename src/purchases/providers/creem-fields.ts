/*
 * Reads what Creem sends as leniently as it is documented: a relation is an id or an object, an
 * instant ISO 8601 or milliseconds, and next to everything may be missing or null.
 */

export type Fields = Readonly<Record<string, unknown>>

/** The longest is a URL. */
const MAX_TEXT_LENGTH = 4_000
const WORD = /^[\x21-\x7e]{1,255}$/
const CURRENCY = /^[a-z]{3}$/i
/** An epoch time below this, in the year 1973, is one in seconds. */
const LEAST_MS = 100_000_000_000
const MAX_MS = 8_640_000_000_000_000

/** What is there of an object; of anything else nothing. */
export const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}

export const listOf = (value: unknown): readonly Fields[] =>
  Array.isArray(value) ? value.map(fieldsOf) : []

/** A word or an id; null for what could be none of Creem's, or of ours. */
export const wordOf = (value: unknown): string | null =>
  typeof value === 'string' && WORD.test(value) ? value : null

/** The id of a relation. */
export const idOf = (relation: unknown): string | null =>
  wordOf(typeof relation === 'string' ? relation : fieldsOf(relation).id)

export const textOf = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && value.length <= MAX_TEXT_LENGTH ? value : null

/** In minor units. */
export const amountOf = (value: unknown): number | null =>
  Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : null

export const currencyOf = (value: unknown): string | null =>
  typeof value === 'string' && CURRENCY.test(value) ? value.toUpperCase() : null

/** In ms since the epoch. */
export const instantOf = (value: unknown): number | null => {
  const read = typeof value === 'string' ? Date.parse(value) : value
  if (typeof read !== 'number' || !Number.isFinite(read) || read <= 0) return null
  const ms = Math.trunc(read < LEAST_MS ? read * 1000 : read)
  return ms <= MAX_MS ? ms : null
}
