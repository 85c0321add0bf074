import assert from 'node:assert/strict'
import { and, asc, eq, gt, gte, lte, or, type SQL, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Revocation, Revocations } from '../stores/session/revocations.js'
import { sessionRevocations as table } from './tables.js'

const PAGE = 500
/** Deleted at once, so that a clean-up never holds many rows for long. */
const CLEAN_UP_BATCH = 5_000
const MAX_BATCHES = 1_000
/** In the place of a digest: all sessions of the tag. */
const ALL = ''
/** A session that began after the last time was moved past that, by this much. */
const AFTER_LAST = sql`${table.revokedAt} + interval '1 millisecond'`

const NOW = sql`clock_timestamp()`
const msOf = (instant: SQL) => sql<number>`floor(extract(epoch from ${instant}) * 1000)::float8`

export type RevocationsDeps = { readonly orm: NodePgDatabase }

export type StoredRevocations = Revocations & {
  /** Deletes those that nothing needs any more; gives the count. Safe to repeat. */
  cleanUp(signal?: AbortSignal): Promise<number>
}

/** Revocations in the database: they outlive Redis and every process. */
export function createRevocations({ orm }: RevocationsDeps): StoredRevocations {
  return {
    async note({ tag, digest, keepMs }) {
      const expiresAt = sql`${NOW} + ${keepMs}::float8 * interval '1 millisecond'`
      const before = digest === null ? AFTER_LAST : table.revokedAt
      const [row] = await orm
        .insert(table)
        .values({ tag, digest: digest ?? ALL, revokedAt: NOW, expiresAt, notedAt: NOW })
        .onConflictDoUpdate({
          target: [table.tag, table.digest],
          // of two at once, the later one counts, whichever comes first
          set: {
            revokedAt: sql`greatest(${before}, excluded.revoked_at)`,
            expiresAt: sql`greatest(${table.expiresAt}, excluded.expires_at)`,
            // asked again: another that was noted first may have held this one up
            notedAt: NOW,
          },
        })
        .returning({ revokedAt: table.revokedAt })
      assert(row !== undefined, 'a revocation was not noted')
      return { tag, digest, atMs: row.revokedAt.getTime(), leftMs: keepMs }
    },

    async check({ tag, digest }, createdAtMs) {
      const ofAll = and(eq(table.digest, ALL), gte(table.revokedAt, new Date(createdAtMs)))
      const revoked = orm
        .select({ tag: table.tag })
        .from(table)
        .where(and(eq(table.tag, tag), or(eq(table.digest, digest), ofAll)))
      const { rows } = await orm.execute<{ isRevoked: boolean; nowMs: number }>(
        sql`select exists(${revoked}) as "isRevoked", ${msOf(NOW)} as "nowMs"`,
      )
      return onlyOf(rows)
    },

    async revokedUntil(tag) {
      const revokedAt = orm
        .select({ untilMs: msOf(sql`${table.revokedAt}`) })
        .from(table)
        .where(and(eq(table.tag, tag), eq(table.digest, ALL)))
      const { rows } = await orm.execute<{ untilMs: number | null; nowMs: number }>(
        sql`select (${revokedAt}) as "untilMs", ${msOf(NOW)} as "nowMs"`,
      )
      return onlyOf(rows)
    },

    async readTimeMs() {
      const { rows } = await orm.execute<{ nowMs: number }>(sql`select ${msOf(NOW)} as "nowMs"`)
      return onlyOf(rows).nowMs
    },

    async list(sinceMs, after) {
      const rows = await orm
        .select({ ...COLUMNS, leftMs: LEFT_MS })
        .from(table)
        .where(
          and(
            // not both: the planner would take them for a few rows, and sort them all for each page
            after === null ? gte(table.notedAt, new Date(sinceMs)) : isAfter(after),
            gt(table.expiresAt, sql`now()`),
          ),
        )
        .orderBy(asc(table.notedAt), asc(table.tag), asc(table.digest))
        .limit(PAGE + 1)
      const page = rows.slice(0, PAGE)
      const last = page.at(-1)
      const next = rows.length > PAGE && last !== undefined ? positionOf(last) : null
      return { revocations: page.map(revocationOf), next }
    },

    async cleanUp(signal) {
      let count = 0
      for (let batch = 0; batch < MAX_BATCHES && !signal?.aborted; batch += 1) {
        const gone = await deleteExpired(orm)
        count += gone
        if (gone < CLEAN_UP_BATCH) break
      }
      return count
    },
  }
}

const COLUMNS = {
  tag: table.tag,
  digest: table.digest,
  revokedAt: table.revokedAt,
  notedAt: table.notedAt,
}
const LEFT_MS = sql<number>`ceil(extract(epoch from ${table.expiresAt} - now()) * 1000)::float8`

type RevocationRow = Pick<typeof table.$inferSelect, keyof typeof COLUMNS> & { leftMs: number }

const revocationOf = ({ tag, digest, revokedAt, leftMs }: RevocationRow): Revocation => ({
  tag,
  digest: digest === ALL ? null : digest,
  atMs: revokedAt.getTime(),
  leftMs,
})

const onlyOf = <T>(rows: readonly T[]): T => {
  const [row] = rows
  assert(row !== undefined, 'a select without a table gives one row')
  return row
}

const positionOf = ({ notedAt, tag, digest }: RevocationRow): string =>
  JSON.stringify([notedAt.getTime(), tag, digest])

function isAfter(position: string) {
  const [atMs, tag, digest] = JSON.parse(position) as [number, string, string]
  const at = new Date(atMs).toISOString()
  return sql`(${table.notedAt}, ${table.tag}, ${table.digest}) >
             (${at}::timestamptz, ${tag}, ${digest})`
}

async function deleteExpired(orm: NodePgDatabase): Promise<number> {
  const expired = orm
    .select({ tag: table.tag, digest: table.digest })
    .from(table)
    .where(lte(table.expiresAt, sql`now()`))
    .limit(CLEAN_UP_BATCH)
  const { rowCount } = await orm
    .delete(table)
    .where(sql`(${table.tag}, ${table.digest}) in (${expired})`)
  return rowCount ?? 0
}
