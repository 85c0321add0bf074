import { and, eq, isNull, lte, sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Beside } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { idempotencyRecords as records } from './tables.js'

/** A claim whose holder has not finished by then is taken over: longer than any call may take. */
export const CLAIM_LEASE_MS = 30_000
/** How long a second call waits for the first one's answer. */
const WAIT_MS = 10_000
const FIRST_PAUSE_MS = 10
const MAX_PAUSE_MS = 200
/** Deleted at once, so that a clean-up never holds many rows for long. */
const CLEAN_UP_BATCH = 5_000

export type IdempotencyDeps = {
  readonly orm: NodePgDatabase
  /** Ms since the epoch. */
  readonly now: () => number
  readonly newId: () => string
  readonly sleep: (ms: number) => Promise<unknown>
  /** How long an answer is remembered. */
  readonly ttlMs: number
}

export type Claimed = {
  /** The digest of caller and key, a uuid. */
  readonly key: string
  /** The digest of what is asked, a uuid. */
  readonly digest: string
}

export type Answer<T> = { readonly status: number; readonly body: T }
export type Replayable<T> = Answer<T> & { readonly isReplay: boolean }

/**
 * Keeps the answer in the transaction of the work itself, so that a crash leaves both or neither.
 * Throws when somebody else has taken the work over by then: the transaction must not commit.
 */
export type Keep<T> = Beside<Answer<T>>

export type OnceOptions = {
  readonly isSecret?: boolean
  /** An answer is given to others only this long after it was kept: when it is in force. */
  readonly inForceAfterMs?: number
}

export type IdempotencyRecords = {
  /**
   * Does `work` once under a key and gives its answer again to whoever repeats the call, in any
   * process, also at the same time. A `work` that throws leaves nothing behind. One that does not
   * `keep` its answer may be done again after a crash, so that must be harmless. Throws
   * `idempotency_key_reused` for another request under the key, `secret_not_replayed` where the
   * answer held a secret, `outcome_unknown` when the first call takes too long.
   */
  once<T>(
    claimed: Claimed,
    work: (keep: Keep<T>) => Promise<Answer<T>>,
    options?: OnceOptions,
  ): Promise<Replayable<T>>
  /** Deletes what has expired at `nowMs`; gives the count. Safe to repeat. */
  cleanUp(nowMs: number): Promise<number>
}

type Stored = {
  readonly status: number
  readonly body?: unknown
  readonly isSecret?: boolean
  readonly inForceAtMs?: number
}

/** The memory of writes that leave no ledger row, in `idempotency_records`. */
export function createIdempotencyRecords(deps: IdempotencyDeps): IdempotencyRecords {
  const { orm, now, newId, ttlMs } = deps
  const at = (ms: number) => new Date(ms)

  /** One statement: the row is ours when it was free, expired, or left behind by a crash. */
  async function claim({ key, digest }: Claimed, holder: string): Promise<boolean> {
    const nowMs = now()
    const row = { digest, claim: holder, result: null, createdAt: at(nowMs) }
    const won = await orm
      .insert(records)
      .values({ key, ...row, expiresAt: at(nowMs + CLAIM_LEASE_MS) })
      .onConflictDoUpdate({
        target: records.key,
        set: { ...row, expiresAt: at(nowMs + CLAIM_LEASE_MS) },
        setWhere: lte(records.expiresAt, at(nowMs)),
      })
      .returning({ key: records.key })
    return won.length > 0
  }

  const isOurs = (key: string, holder: string) =>
    and(eq(records.key, key), eq(records.claim, holder))

  /** False when the claim is somebody else's by now. */
  async function settle(
    on: NodePgDatabase,
    [key, holder]: readonly [string, string],
    { status, body }: Answer<unknown>,
    { isSecret, inForceAfterMs }: OnceOptions,
  ): Promise<boolean> {
    const stored: Stored = {
      status,
      ...(isSecret ? { isSecret } : { body }),
      ...(inForceAfterMs !== undefined && { inForceAtMs: now() + inForceAfterMs }),
    }
    const set = { result: stored, expiresAt: at(now() + ttlMs) }
    const { rowCount } = await on.update(records).set(set).where(isOurs(key, holder))
    return rowCount === 1
  }

  /** An answer that was kept stays: its work may be committed although we were not told. */
  async function abandon(key: string, holder: string): Promise<void> {
    await orm.delete(records).where(and(isOurs(key, holder), isNull(records.result)))
  }

  /** The first call's answer; null while it is under way or when its key came free. */
  async function answerOf<T>({ key, digest }: Claimed): Promise<Replayable<T> | null> {
    const [row] = await orm
      .select({ digest: records.digest, result: records.result })
      .from(records)
      .where(eq(records.key, key))
    if (!row || row.result === null) return null
    if (row.digest !== digest) {
      throw new AppError('idempotency_key_reused', 'The key was used for another request')
    }
    const { status, body, isSecret, inForceAtMs } = row.result as Stored
    if (inForceAtMs !== undefined && now() < inForceAtMs) return null
    if (isSecret) {
      const message = 'The call was done; its reply held a secret, which is given only once'
      throw new AppError('secret_not_replayed', message)
    }
    return { status, body: body as T, isReplay: true }
  }

  return {
    async once<T>(
      claimed: Claimed,
      work: (keep: Keep<T>) => Promise<Answer<T>>,
      options: OnceOptions = {},
    ) {
      const holder = newId()
      const deadlineMs = now() + WAIT_MS
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
        if (await claim(claimed, holder)) break
        const answer = await answerOf<T>(claimed)
        if (answer) return answer
        if (now() > deadlineMs) throw stillUnderWay()
        await deps.sleep(pauseMs)
      }
      const { key } = claimed
      let isKept = false
      const keep: Keep<T> = async (tx, answer) => {
        isKept = await settle(tx, [key, holder], answer, options)
        if (!isKept) throw stillUnderWay()
      }
      const answer = await work(keep).catch(async (error: unknown) => {
        // when this fails too, the lease frees the key
        await abandon(key, holder).catch(() => {})
        throw error
      })
      // the work is done and is answered; a repeat after the lease does it again, harmlessly
      if (!isKept) await settle(orm, [key, holder], answer, options).catch(() => {})
      return { ...answer, isReplay: false }
    },

    cleanUp: (nowMs) => deleteExpired(orm, at(nowMs)),
  }
}

async function deleteExpired(orm: NodePgDatabase, at: Date): Promise<number> {
  let count = 0
  for (;;) {
    const expired = orm
      .select({ key: records.key })
      .from(records)
      .where(lte(records.expiresAt, at))
      .limit(CLEAN_UP_BATCH)
    const gone = await orm.delete(records).where(sql`${records.key} in (${expired})`)
    count += gone.rowCount ?? 0
    if ((gone.rowCount ?? 0) < CLEAN_UP_BATCH) return count
  }
}

const stillUnderWay = (): AppError =>
  new AppError('outcome_unknown', 'The first call with this key is still under way; ask again')
