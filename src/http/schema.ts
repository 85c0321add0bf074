import { z } from 'zod'
import { isStorable } from './metadata.js'

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

/** Whole credits, 1 … 2^53−1. */
export const credits = z
  .int()
  .min(1)
  .max(Number.MAX_SAFE_INTEGER)
  .meta({ description: 'Whole credits, 1 to 9007199254740991.', examples: [10] })

/** An amount in a reply: signed where it is a change. */
export const amount = z.int().meta({ description: 'Credits.', examples: [10] })

const EARLIEST_MS = 0
const LATEST_MS = Date.UTC(9999, 11, 31)

/** An instant in a request, ISO 8601 with `Z` or an offset; text until a service reads it. */
export const instant = z.iso
  .datetime({ offset: true, message: 'Must be ISO 8601 with a time and Z or an offset' })
  .refine((value) => {
    const ms = Date.parse(value)
    return ms >= EARLIEST_MS && ms < LATEST_MS
  }, 'Must be a date from 1970 to 9999')
  .meta({ description: 'ISO 8601 with `Z` or an offset.', examples: ['2027-01-31T00:00:00Z'] })

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

const PAGE_MESSAGE = `Must be a whole number from 1 to ${MAX_PAGE}`

/** Query of a list; lists are newest first unless they say otherwise. */
export const pageQuery = z.object({
  cursor: cursor.optional(),
  limit: z.coerce
    .number(PAGE_MESSAGE)
    .int(PAGE_MESSAGE)
    .min(1, PAGE_MESSAGE)
    .max(MAX_PAGE, PAGE_MESSAGE)
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
