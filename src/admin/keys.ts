import { and, desc, eq, gt, isNull, ne, or, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Database } from '../db/open.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import type { Scope } from '../http/actor.js'
import { encodeCursor, type Page } from '../http/page.js'
import { isoOf, msOf } from '../http/schema.js'
import { invalidField } from '../http/validator.js'
import { createKey, type NewKey } from './api-keys.js'
import type { ApiKey, ApiKeyBody, NewApiKey } from './schema.js'
import { apiKeys } from './tables.js'

/** Keys are made by hand: more than this is a mistake, or somebody's script. */
const MAX_KEYS = 1_000
/** Changes of keys are rare and short. */
const DEADLINE_MS = 5_000

export type KeysDeps = {
  readonly db: Pick<Database, 'orm' | 'pool'>
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

export type Keys = {
  /** Makes a key; the reply alone ever holds it. Throws `limit_exceeded`. */
  create(body: ApiKeyBody): Promise<NewApiKey>
  /** Newest first, revoked ones too. */
  list(page: { after: KeyPosition | null; limit: number }): Promise<Page<ApiKey>>
  /**
   * Ends a key, here at once and in other instances within seconds. Throws `api_key_not_found`, and
   * `last_admin_key` for the last one that could make another. Safe to repeat.
   */
  revoke(id: string): Promise<ApiKey>
}

export function createKeys(deps: KeysDeps): Keys {
  const { db, now } = deps
  return {
    async create({ name, scopes, expiresAt }) {
      const expiresAtMs = msOf(expiresAt)
      if (expiresAtMs !== null && expiresAtMs <= now()) {
        throw invalidField('expiresAt', 'Must lie in the future')
      }
      const count = await db.orm.$count(apiKeys, isNull(apiKeys.revokedAt))
      if (count >= MAX_KEYS) {
        const message = `There are at most ${MAX_KEYS} API keys at once`
        throw new AppError('limit_exceeded', message, { limit: MAX_KEYS })
      }
      const wanted = { name, scopes: [...new Set(scopes)], prefix: deps.prefix, expiresAtMs }
      const { id, key } = await createKey(db.orm, wanted, deps)
      const [row] = await db.orm.select().from(apiKeys).where(eq(apiKeys.id, id))
      if (!row) throw new Error(`the new key ${id} is not there`)
      return { ...viewOf(row), key }
    },

    async list({ after, limit }) {
      const rows = await db.orm
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

    async revoke(id) {
      const options = { deadlineMs: DEADLINE_MS, isRepeatable: true }
      const row = await inTransaction(db, (tx) => revokeWithin(tx, id, deps), options)
      deps.forget(row.digest)
      return viewOf(row)
    },
  }
}

type KeyRow = typeof apiKeys.$inferSelect

/** Revocations wait for one another, so that two of them can't take the last two admin keys. */
async function revokeWithin(tx: NodePgDatabase, id: string, deps: KeysDeps): Promise<KeyRow> {
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
})
