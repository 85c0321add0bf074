import { z } from 'zod'

/** A JSON object of the caller's own; nothing in it means anything to us. */
export type Metadata = { readonly [key: string]: unknown }

/** Of its compact JSON in UTF-8: enough for context, too little to use a ledger as a store. */
export const MAX_METADATA_BYTES = 8 * 1024
/** What walks a value, here and in the database, does so to this depth only. */
export const MAX_METADATA_DEPTH = 16

/** What PostgreSQL can not store as text: NUL, and halves of surrogate pairs. */
const UNSTORABLE = /\0|\p{Surrogate}/u

/** Whether the text can be stored and read back as it is. */
export const isStorable = (text: string): boolean => !UNSTORABLE.test(text)

/** Why the value can not be metadata, or null when it can. */
export function metadataFault(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return 'Metadata must be a JSON object'
  }
  const fault = faultWithin(value, 1)
  if (fault !== null) return fault
  const bytes = Buffer.byteLength(JSON.stringify(value))
  if (bytes <= MAX_METADATA_BYTES) return null
  return `Metadata may take ${MAX_METADATA_BYTES} bytes as JSON, this takes ${bytes}`
}

function faultWithin(value: unknown, depth: number): string | null {
  if (typeof value === 'string') {
    return isStorable(value) ? null : 'Metadata must hold no NUL and no lone surrogate'
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    return 'Metadata must hold no number that a double can not'
  }
  if (typeof value !== 'object' || value === null) return null
  if (depth > MAX_METADATA_DEPTH) return `Metadata may nest ${MAX_METADATA_DEPTH} levels deep`
  for (const [key, member] of Object.entries(value)) {
    const fault =
      (isStorable(key) ? null : faultWithin(key, depth)) ?? faultWithin(member, depth + 1)
    if (fault !== null) return fault
  }
  return null
}

/** The value itself goes on, untouched: a copy would lose keys such as `__proto__`. */
export const metadata = z
  .custom<Metadata>()
  .superRefine((value, context) => {
    const fault = metadataFault(value)
    if (fault !== null) context.addIssue({ code: 'custom', message: fault })
  })
  .meta({
    type: 'object',
    additionalProperties: true,
    description:
      'A JSON object of your own, at most 8 KiB as compact JSON and 16 levels deep. ' +
      'It is given back equal to what was sent.',
    examples: [{ conversation: 'c-17' }],
  })

/** As metadata stands in replies: null when there was none. */
export const storedMetadata = z
  .custom<Metadata | null>(() => true)
  .meta({
    type: ['object', 'null'],
    additionalProperties: true,
    description: 'What was sent as metadata; null when nothing was.',
    examples: [{ conversation: 'c-17' }],
  })
