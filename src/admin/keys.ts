import { and, desc, eq, gt, isNull, ne, or, sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { type Beside, inTransaction, type Transaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import type { Scope } from '../http/actor.js'
import { encodeCursor, type Page } from '../http/page.js'
import { isoOf, msOf } from '../http/schema.js'
import { invalidField } from '../http/validator.js'
import { createKey, type NewKey, rateLimitOf } from './api-keys.js'
import type { ApiKey, ApiKeyBody, NewApiKey } from './schema.js'
import { apiKeys } from './tables.js'

/** Keys are made by hand: more than this is a mistake, or somebody's script. */
const MAX_KEYS = 1_000
/** Changes of keys are rare and short. */
const DEADLINE_MS = 5_000

export type KeysDeps = {
  readonly db: Pick<Database, 'orm' | 'readOrm' | 'pool'>
  readonly newId: () => string
  readonly randomBytes: (size: number) => Buffer
  /** Ms since the epoch. */
  readonly now: () => number
  readonly prefix: NewKey['prefix']
  /** Whether the environment holds a key of its own, which can not be revoked here. */
  readonly hasConfiguredKey: boolean
  /** Tells this instance to forget a key at once. */
  readonly forget: (digest: string) => void
}

/** Where a page of keys ends. */
export type KeyPosition = readonly [createdAtMs: number, id: string]

/** Whether it is one that `list` gives. */
export function isKeyPosition(value: unknown): value is KeyPosition {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [ms, id] = value as unknown[]
  const isTime = Number.isSafeInteger(ms) && Math.abs(ms as number) < 8e12
  return isTime && typeof id === 'string' && id.length <= 64 && !id.includes('\0')
}

export type Keys = {
  /**
   * Makes a key; the reply alone ever holds it. `beside` joins its transaction. Throws
   * `limit_exceeded`, and `outcome_unknown` when the key may have been made.
   */
  create(body: ApiKeyBody, beside: Beside<NewApiKey>): Promise<NewApiKey>
  /** Newest first, revoked ones too. */
  list(page: { after: KeyPosition | null; limit: number }): Promise<Page<ApiKey>>
  /**
   * Ends a key, here at once and in other instances within seconds. Throws `api_key_not_found`, and
   * `last_admin_key` for the last one that could make another. Safe to repeat. `beside` joins its
   * transaction.
   */
  revoke(id: string, beside?: Beside<ApiKey>): Promise<ApiKey>
}

export function createKeys(deps: KeysDeps): Keys {
  const { db, now } = deps
  return {
    async create({ name, scopes, expiresAt, rateLimit = null }, beside) {
      const expiresAtMs = msOf(expiresAt)
      if (expiresAtMs !== null && expiresAtMs <= now()) {
        throw invalidField('expiresAt', 'Must lie in the future')
      }
      const granted = { scopes: [...new Set(scopes)], rateLimit }
      const wanted = { name, ...granted, prefix: deps.prefix, expiresAtMs }
      const act = async (tx: Transaction) => {
        const made = await createWithin(tx, wanted, deps)
        await beside(tx, made)
        return made
      }
      // after a commit whose reply was lost, another attempt would make another key
      return inTransaction(db, act, { deadlineMs: DEADLINE_MS, isRepeatable: false })
    },

    async list({ after, limit }) {
      const rows = await db.readOrm
        .select()
        .from(apiKeys)
        .where(
          after === null
            ? undefined
            : sql`(${apiKeys.createdAt}, ${apiKeys.id}) <
                  (${new Date(after[0]).toISOString()}::timestamptz, ${after[1]})`,
        )
        .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
        .limit(limit + 1)
      const items = rows.slice(0, limit)
      const last = items.at(-1)
      const hasMore = rows.length > limit && last !== undefined
      const position = hasMore ? encodeCursor([last.createdAt.getTime(), last.id]) : null
      return { items: items.map(viewOf), nextCursor: position }
    },

    async revoke(id, beside) {
      const act = async (tx: Transaction) => {
        const revoked = await revokeWithin(tx, id, deps)
        await beside?.(tx, viewOf(revoked))
        return revoked
      }
      const row = await inTransaction(db, act, { deadlineMs: DEADLINE_MS, isRepeatable: true })
      deps.forget(row.digest)
      return viewOf(row)
    },
  }
}

type KeyRow = typeof apiKeys.$inferSelect

async function createWithin(tx: Transaction, wanted: NewKey, deps: KeysDeps): Promise<NewApiKey> {
  const count = await tx.$count(apiKeys, isNull(apiKeys.revokedAt))
  if (count >= MAX_KEYS) {
    const message = `There are at most ${MAX_KEYS} API keys at once: revoke one first`
    throw new AppError('limit_exceeded', message, { limit: MAX_KEYS })
  }
  const { id, key } = await createKey(tx, wanted, deps)
  const [row] = await tx.select().from(apiKeys).where(eq(apiKeys.id, id))
  if (!row) throw new Error(`the new key ${id} is not there`)
  return { ...viewOf(row), key }
}

/** Revocations wait for one another, so that two of them can't take the last two admin keys. */
async function revokeWithin(tx: Transaction, id: string, deps: KeysDeps): Promise<KeyRow> {
  await tx.execute(sql`lock table ${apiKeys} in share row exclusive mode`)
  const at = new Date(deps.now())
  const [row] = await tx.select().from(apiKeys).where(eq(apiKeys.id, id))
  if (!row) throw new AppError('api_key_not_found', 'There is no such API key')
  if (row.revokedAt !== null) return row
  if (row.scopes.includes('admin') && !deps.hasConfiguredKey) {
    const others = await tx.$count(
      apiKeys,
      and(
        ne(apiKeys.id, id),
        isNull(apiKeys.revokedAt),
        sql`'admin' = any(${apiKeys.scopes})`,
        or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, at)),
      ),
    )
    if (others === 0) {
      throw new AppError('last_admin_key', 'Without this key nobody could make another one')
    }
  }
  await tx.update(apiKeys).set({ revokedAt: at }).where(eq(apiKeys.id, id))
  return { ...row, revokedAt: at }
}

const viewOf = (row: KeyRow): ApiKey => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  scopes: row.scopes as Scope[],
  createdAt: isoOf(row.createdAt.getTime()),
  expiresAt: isoOf(row.expiresAt?.getTime() ?? null),
  revokedAt: isoOf(row.revokedAt?.getTime() ?? null),
  rateLimit: rateLimitOf(row),
})
