import { hash } from 'node:crypto'
import type { SessionId } from '../stores/session/store.js'

/** Of 256 random bits, so that nobody finds one by trying. */
const RANDOM_BYTES = 32
/** Enough that no two accounts of one service share it. */
const TAG_BYTES = 8
/** How much of a digest tells sessions apart in logs: too little to look one up by. */
const SHOWN_DIGITS = 16

/** How tokens of sessions begin, so that nobody takes them for API keys. */
export const SESSION_PREFIX = 'cs_'
/** `cs_`, the tag of the account (8 bytes) and 32 random bytes, both in base64url. */
const TOKEN = /^cs_([A-Za-z0-9_-]{11})[A-Za-z0-9_-]{43}$/

/** What the sessions of an account have in common; opens nothing. */
export const sessionTag = (accountId: string): string =>
  Buffer.from(hash('sha256', accountId), 'hex').subarray(0, TAG_BYTES).toString('base64url')

/** A new token of 256 random bits. It is shown once, and kept nowhere. */
export const newSessionToken = (accountId: string, randomBytes: (size: number) => Buffer): string =>
  `${SESSION_PREFIX}${sessionTag(accountId)}${randomBytes(RANDOM_BYTES).toString('base64url')}`

/** Where the session of a token is kept; null: no token of ours. `digest` is its SHA-256. */
export function sessionIdOf(token: string, digest = hash('sha256', token)): SessionId | null {
  const tag = TOKEN.exec(token)?.[1]
  return tag === undefined ? null : { tag, digest }
}

/** How a session is named where people read. */
export const sessionName = ({ digest }: SessionId): string => digest.slice(0, SHOWN_DIGITS)
