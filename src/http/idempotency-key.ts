import { AppError } from '../errors.js'

/** Printable ASCII without the quote and the backslash, so that both forms name the same key. */
const KEY =
  /^[\x21\x23-\x5b\x5d-\x7e](?:[\x20\x21\x23-\x5b\x5d-\x7e]{0,253}[\x21\x23-\x5b\x5d-\x7e])?$/
const FORM = 'be 1 to 255 printable ASCII characters, bare or in double quotes'
const QUOTED = /^"(.*)"$/

/**
 * The key in an `Idempotency-Key` header, bare or as the quoted string of the IETF draft; null
 * without one. Throws `invalid_request` for what is empty, too long or not printable.
 */
export function parseIdempotencyKey(header: string | string[] | undefined): string | null {
  if (header === undefined) return null
  const value = typeof header === 'string' ? header.trim() : ''
  const key = QUOTED.exec(value)?.[1] ?? value
  if (KEY.test(key)) return key
  throw new AppError('invalid_request', `The Idempotency-Key must ${FORM}`, {
    errors: [
      {
        in: 'header',
        path: 'idempotency-key',
        message: `Must ${FORM}`,
      },
    ],
  })
}
