import { and, asc, eq, gt, gte, lte, or, sql } from 'drizzle-orm'
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

export type RevocationsDeps = {
  readonly orm: NodePgDatabase
  /** Ms since the epoch. */
  readonly now: () => number
}

export type StoredRevocations = Revocations & {
  /** Deletes those that nothing needs any more; gives the count. Safe to repeat. */
  cleanUp(signal?: AbortSignal): Promise<number>
}

/** Revocations in the database: they outlive Redis and every process. */
export function createRevocations({ orm, now }: RevocationsDeps): StoredRevocations {
  return {
    async note({ tag, digest, atMs, untilMs }) {
      const [revokedAt, expiresAt] = [new Date(atMs), new Date(untilMs)]
      const before = digest === null ? AFTER_LAST : table.revokedAt
      const [row] = await orm
        .insert(table)
        .values({ tag, digest: digest ?? ALL, revokedAt, expiresAt })
        .onConflictDoUpdate({
          target: [table.tag, table.digest],
          // of two at once, the later one counts, whichever comes first
          set: {
            revokedAt: sql`greatest(${before}, excluded.revoked_at)`,
            expiresAt: sql`greatest(${table.expiresAt}, excluded.expires_at)`,
          },
        })
        .returning({ revokedAt: table.revokedAt })
      return row?.revokedAt.getTime() ?? atMs
    },

    async isRevoked({ tag, digest }, createdAtMs) {
      const ofAll = and(eq(table.digest, ALL), gte(table.revokedAt, new Date(createdAtMs)))
      const [row] = await orm
        .select({ tag: table.tag })
        .from(table)
        .where(and(eq(table.tag, tag), or(eq(table.digest, digest), ofAll)))
        .limit(1)
      return row !== undefined
    },

    async revokedUntil(tag) {
      const [row] = await orm
        .select({ revokedAt: table.revokedAt })
        .from(table)
        .where(and(eq(table.tag, tag), eq(table.digest, ALL)))
        .limit(1)
      return row?.revokedAt.getTime() ?? null
    },

    async list(sinceMs, after) {
      const rows = await orm
        .select()
        .from(table)
        .where(
          and(
            // not both: the planner would take them for a few rows, and sort them all for each page
            after === null ? gte(table.revokedAt, new Date(sinceMs)) : isAfter(after),
            gt(table.expiresAt, new Date(now())),
          ),
        )
        .orderBy(asc(table.revokedAt), asc(table.tag), asc(table.digest))
        .limit(PAGE + 1)
      const page = rows.slice(0, PAGE)
      const last = page.at(-1)
      const next = rows.length > PAGE && last !== undefined ? positionOf(last) : null
      return { revocations: page.map(revocationOf), next }
    },

    async cleanUp(signal) {
      let count = 0
      for (let batch = 0; batch < MAX_BATCHES && !signal?.aborted; batch += 1) {
        const gone = await deleteExpired(orm, new Date(now()))
        count += gone
        if (gone < CLEAN_UP_BATCH) break
      }
      return count
    },
  }
}

type RevocationRow = typeof table.$inferSelect

const revocationOf = ({ tag, digest, revokedAt, expiresAt }: RevocationRow): Revocation => ({
  tag,
  digest: digest === ALL ? null : digest,
  atMs: revokedAt.getTime(),
  untilMs: expiresAt.getTime(),
})

const positionOf = ({ revokedAt, tag, digest }: RevocationRow): string =>
  JSON.stringify([revokedAt.getTime(), tag, digest])

function isAfter(position: string) {
  const [atMs, tag, digest] = JSON.parse(position) as [number, string, string]
  const at = new Date(atMs).toISOString()
  return sql`(${table.revokedAt}, ${table.tag}, ${table.digest}) >
             (${at}::timestamptz, ${tag}, ${digest})`
}

async function deleteExpired(orm: NodePgDatabase, at: Date): Promise<number> {
  const expired = orm
    .select({ tag: table.tag, digest: table.digest })
    .from(table)
    .where(lte(table.expiresAt, at))
    .limit(CLEAN_UP_BATCH)
  const { rowCount } = await orm
    .delete(table)
    .where(sql`(${table.tag}, ${table.digest}) in (${expired})`)
  return rowCount ?? 0
}
