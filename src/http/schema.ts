import { z } from 'zod'
import { isStorable } from './metadata.js'
import { REQUIRED } from './wording.js'

export const DEFAULT_PAGE = 50
export const MAX_PAGE = 200

/** The caller's own ids. */
export const ACCOUNT_ID = /^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$/

export const accountId = z
  .string()
  .regex(ACCOUNT_ID, 'Must be 1 to 128 of A-Z a-z 0-9 . _ @ : - and begin with a letter or digit')
  .meta({ description: "The caller's own id of the account.", examples: ['user-42'] })

export const accountParams = z.object({ accountId })

/** Text that goes into the database: bounded, without what it can not store. */
export const text = (maxLength: number) =>
  z.string().min(1).max(maxLength).refine(isStorable, 'Must hold no NUL and no lone surrogate')

export const reason = text(500).meta({
  description: 'Why, for the record.',
  examples: ['agreed with support'],
})

/** Names of actions in the price list. */
export const actionName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$/,
    'Must be 1 to 100 of A-Z a-z 0-9 . _ : / - and begin with a letter or digit',
  )
  .meta({ description: 'The name of an action.', examples: ['image.generate'] })

/** A whole number in a request: whatever is wrong with it, its unit and range are told. */
export const whole = (min: number, max: number, unit?: string) => {
  const range = rangeOf(min, max, unit)
  const error = { error: ({ input }: { input?: unknown }) => wordsFor(input, range) }
  return z.int(error).min(min, error).max(max, error)
}

/** The same in a query, where it comes as text. */
export const wholeInQuery = (min: number, max: number, unit?: string) => {
  const error = `Must be ${rangeOf(min, max, unit)}`
  return z.coerce.number(error).int(error).min(min, error).max(max, error)
}

/** For those who check a number themselves. */
export const rangeOf = (min: number, max: number, unit?: string): string =>
  `a whole number${unit === undefined ? '' : ` of ${unit}`} from ${min} to ${max}`

const wordsFor = (input: unknown, range: string): string =>
  input === undefined ? REQUIRED : `Must be ${range}`

/** Whole credits, 1 … 2^53−1. */
export const credits = whole(1, Number.MAX_SAFE_INTEGER, 'credits').meta({
  description: 'Whole credits, 1 to 9007199254740991.',
  examples: [10],
})

/** An amount in a reply: signed where it is a change. */
export const amount = z.int().meta({ description: 'Credits.', examples: [10] })

const EARLIEST = '1970-01-01T00:00:00.000Z'
/** The last of ISO 8601's four-digit years. */
const LATEST = '9999-12-31T23:59:59.999Z'
const EARLIEST_MS = Date.parse(EARLIEST)
const LATEST_MS = Date.parse(LATEST)

const ISO_FORM = 'ISO 8601 with a time and Z or an offset, such as 2027-01-31T00:00:00Z'
/** The form of an instant, for what is said of it. */
export const INSTANT = `ISO 8601 with \`Z\` or an offset, ${EARLIEST} to ${LATEST}.`

/** An instant in a request, ISO 8601 with `Z` or an offset; text until a service reads it. */
export const instant = z.iso
  .datetime({ offset: true, abort: true, error: ({ input }) => wordsFor(input, ISO_FORM) })
  .refine((value) => {
    const ms = Date.parse(value)
    return ms >= EARLIEST_MS && ms <= LATEST_MS
  }, `Must lie between ${EARLIEST} and ${LATEST}`)
  .meta({ description: INSTANT, examples: ['2027-01-31T00:00:00Z'] })

/** An instant in a reply. */
export const timestamp = z.iso
  .datetime()
  .meta({ description: 'ISO 8601, UTC.', examples: ['2026-11-21T09:30:00.000Z'] })

export const cursor = z
  .string()
  .max(500)
  .meta({ description: '`nextCursor` of the page before.', examples: ['MTc'] })

export const nextCursor = z
  .string()
  .nullable()
  .meta({ description: 'Where the next page begins; null on the last.', examples: ['MTc'] })

/** Query of a list; lists are newest first unless they say otherwise. */
export const pageQuery = z.strictObject({
  cursor: cursor.optional(),
  limit: wholeInQuery(1, MAX_PAGE)
    .default(DEFAULT_PAGE)
    .meta({ description: 'How many entries a page has, at most 200.', examples: [50] }),
})

/** The ISO 8601 form of an instant; null stays null. */
export function isoOf(ms: number): string
export function isoOf(ms: number | null): string | null
export function isoOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

/** The instant of an already validated text, in ms; what is absent is null. */
export const msOf = (value: string | null | undefined): number | null =>
  value === null || value === undefined ? null : Date.parse(value)
