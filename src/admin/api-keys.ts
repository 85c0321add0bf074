import { createHash } from 'node:crypto'
import { and, eq, isNull, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Scope } from '../http/actor.js'
import type { StoredKey } from '../http/auth.js'
import { apiKeys } from './tables.js'

const KEY_BYTES = 32

/** Enough of a key to tell keys apart by eye, and far too little to guess the rest. */
const SHOWN_CHARACTERS = 12

export type KeyDeps = {
  readonly newId: () => string
  /** Cryptographically random. */
  readonly randomBytes: (size: number) => Buffer
  /** Ms since the epoch. */
  readonly now: () => number
}

export type KeyLimit = { readonly max: number; readonly windowSeconds: number }

export type NewKey = {
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly prefix: 'ck_live_' | 'ck_test_'
  readonly expiresAtMs: number | null
  /** How often it may call; null: as often as it likes. */
  readonly rateLimit: KeyLimit | null
}

/** The key as it is stored and looked up: its SHA-256, in hexadecimal digits. */
export const digestOfKey = (key: string): string => createHash('sha256').update(key).digest('hex')

/** Makes a key of 256 random bits. The key itself is in the answer and nowhere else. */
export const createKey = async (
  orm: NodePgDatabase,
  { name, scopes, prefix, expiresAtMs, rateLimit }: NewKey,
  { newId, randomBytes, now }: KeyDeps,
): Promise<{ id: string; key: string }> => {
  const id = newId()
  const key = `${prefix}${randomBytes(KEY_BYTES).toString('base64url')}`
  await orm.insert(apiKeys).values({
    id,
    name,
    prefix: key.slice(0, SHOWN_CHARACTERS),
    digest: digestOfKey(key),
    scopes: [...scopes],
    createdAt: new Date(now()),
    expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs),
    rateLimitMax: rateLimit?.max ?? null,
    rateLimitWindowSeconds: rateLimit?.windowSeconds ?? null,
  })
  return { id, key }
}

/** The key with this digest, unless it is unknown or revoked. */
export const findKey = async (orm: NodePgDatabase, digest: string): Promise<StoredKey | null> => {
  const [row] = await orm
    .select({
      id: apiKeys.id,
      scopes: apiKeys.scopes,
      expiresAt: apiKeys.expiresAt,
      rateLimitMax: apiKeys.rateLimitMax,
      rateLimitWindowSeconds: apiKeys.rateLimitWindowSeconds,
    })
    .from(apiKeys)
    .where(and(eq(apiKeys.digest, digest), isNull(apiKeys.revokedAt)))
    .limit(1)
  if (!row) return null
  const { id, scopes, expiresAt } = row
  const own = rateLimitOf(row)
  const limit = own === null ? null : { max: own.max, windowMs: own.windowSeconds * 1_000 }
  return { id, scopes: scopes as Scope[], expiresAtMs: expiresAt?.getTime() ?? null, limit }
}

/** The limit that a key has of its own. */
export const rateLimitOf = ({
  rateLimitMax: max,
  rateLimitWindowSeconds: windowSeconds,
}: Pick<
  typeof apiKeys.$inferSelect,
  'rateLimitMax' | 'rateLimitWindowSeconds'
>): KeyLimit | null => (max === null || windowSeconds === null ? null : { max, windowSeconds })

/** Whether there has ever been a key. */
export const hasKeys = async (orm: NodePgDatabase): Promise<boolean> => {
  const { rows } = await orm.execute<{ found: boolean }>(
    sql`select exists (select from ${apiKeys}) as found`,
  )
  return rows[0]?.found === true
}
