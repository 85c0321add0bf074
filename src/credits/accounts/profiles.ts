import { and, eq, gt, inArray, isNull, or, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Metadata } from '../../http/metadata.js'
import { accounts } from '../../ledger/tables.js'
import { profiles } from '../tables.js'

export type Profile = {
  readonly email: string | null
  readonly metadata: Metadata | null
  readonly updatedAtMs: number
}

/** What is to change; what is absent stays. */
export type ProfileChange = {
  readonly email?: string | null | undefined
  readonly metadata?: Metadata | null | undefined
}

export type AccountSearch = {
  /** Only ids after this one. */
  readonly after: string | null
  readonly limit: number
  /** In any letter case. */
  readonly email: string | null
  readonly tier: string | null
  readonly nowMs: number
}

export type Profiles = {
  /** Writes the profile of an account; tells whether there was none. Safe to repeat. */
  put(
    accountId: string,
    change: ProfileChange,
    times: { readonly openedAtMs: number; readonly nowMs: number },
  ): Promise<{ isNew: boolean }>
  get(accountIds: readonly string[]): Promise<ReadonlyMap<string, Profile>>
  /** Ids of accounts, by id. */
  search(search: AccountSearch): Promise<readonly string[]>
}

export type ProfilesDeps = {
  readonly orm: NodePgDatabase
  /** For what only reads. */
  readonly readOrm: NodePgDatabase
}

/** What is known of accounts beside their money. */
export function createProfiles({ orm, readOrm }: ProfilesDeps): Profiles {
  return {
    async put(accountId, change, { openedAtMs, nowMs }) {
      const openedAt = new Date(openedAtMs)
      const { email, metadata } = change
      const changed = {
        ...(email !== undefined && { email }),
        ...(metadata !== undefined && { metadata: jsonOf(metadata) }),
      }
      const isChange = Object.keys(changed).length > 0
      const [row] = await orm
        .insert(profiles)
        .values({ accountId, ...changed, createdAt: openedAt, updatedAt: openedAt })
        .onConflictDoUpdate({
          target: profiles.accountId,
          set: { ...changed, updatedAt: isChange ? new Date(nowMs) : sql`${profiles.updatedAt}` },
        })
        // a row that was inserted rather than updated has no xmax
        .returning({ isNew: sql<boolean>`xmax = 0` })
      return { isNew: row?.isNew ?? false }
    },

    async get(accountIds) {
      const rows = await readOrm
        .select({
          accountId: profiles.accountId,
          email: profiles.email,
          metadata: profiles.metadata,
          updatedAt: profiles.updatedAt,
        })
        .from(profiles)
        .where(inArray(profiles.accountId, [...accountIds]))
      return new Map(
        rows.map(({ accountId, email, metadata, updatedAt }) => [
          accountId,
          { email, metadata: metadata as Metadata | null, updatedAtMs: updatedAt.getTime() },
        ]),
      )
    },

    async search({ after, limit, email, tier, nowMs }) {
      const isCurrent = or(
        isNull(accounts.tierExpiresAt),
        gt(accounts.tierExpiresAt, new Date(nowMs)),
      )
      const rows = await readOrm
        .select({ accountId: accounts.id })
        .from(accounts)
        .leftJoin(profiles, eq(profiles.accountId, accounts.id))
        .where(
          and(
            after === null ? undefined : gt(accounts.id, after),
            email === null ? undefined : sql`lower(${profiles.email}) = lower(${email})`,
            tier === null ? undefined : and(eq(accounts.tier, tier), isCurrent),
          ),
        )
        .orderBy(accounts.id)
        .limit(limit)
      return rows.map(({ accountId }) => accountId)
    },
  }
}

/** SQL null rather than the JSON value null. */
const jsonOf = (metadata: Metadata | null) =>
  metadata === null ? sql`null` : sql`${JSON.stringify(metadata)}::jsonb`
