import { AppError } from '../errors.js'

/** One page and where the next one begins. */
export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | null }

/**
 * Cuts a page out of `limit + 1` fetched entries: the one too many only tells that there are more.
 */
export function pageOf<T>(
  fetched: readonly T[],
  limit: number,
  positionOf: (last: T) => unknown,
): Page<T> {
  const items = fetched.slice(0, limit)
  const last = items.at(-1)
  const hasMore = fetched.length > limit && last !== undefined
  return { items, nextCursor: hasMore ? encodeCursor(positionOf(last)) : null }
}

/** A position as an opaque text. */
export const encodeCursor = (position: unknown): string =>
  Buffer.from(JSON.stringify(position)).toString('base64url')

/** The position in a cursor, null without one; throws `invalid_request` for what we never gave. */
export function decodeCursor<T>(
  cursor: string | undefined,
  isPosition: (value: unknown) => value is T,
): T | null {
  if (cursor === undefined) return null
  let position: unknown
  try {
    position = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    throw unknownCursor()
  }
  if (!isPosition(position)) throw unknownCursor()
  return position
}

/** Positions in lists of one account are sequence numbers. */
export const isSeq = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) > 0

export const isText = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= 256 && !value.includes('\0')

const unknownCursor = (): AppError =>
  new AppError('invalid_request', 'The cursor must be the nextCursor of a page of this list', {
    errors: [
      { in: 'query', path: 'cursor', message: 'Must be the nextCursor of a page of this list' },
    ],
  })
