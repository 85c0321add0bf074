import { createHash } from 'node:crypto'

/** Longer keys cost memory in every store, and tell no more than their digest does. */
const MAX_KEY_LENGTH = 128

/** The key, or its digest where it is long; the mark keeps digests apart from keys. */
export const shortKey = (key: string): string =>
  key.length <= MAX_KEY_LENGTH
    ? key
    : `sha256~${createHash('sha256').update(key).digest('base64url')}`
