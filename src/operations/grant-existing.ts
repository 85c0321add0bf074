import type pg from 'pg'
import { DatabaseSetupError } from '../db/setup-error.js'
import { AppError, hasCode } from '../errors.js'
import { SYSTEM_ACTOR } from '../ledger/draft.js'
import type { Ledger } from '../ledger/ledger.js'
import type { AccountStatus, Operation } from '../ledger/model.js'
import { DEFAULT_PRIORITY } from '../ledger/rules.js'
import type { Campaign } from './campaign.js'

/** Accounts read, and granted to, at once. */
export const PAGE_ACCOUNTS = 500
/** Reads, unlike grants, take a connection each. */
const READS_AT_ONCE = 2
/** Enough to see what is wrong. */
const MAX_FAILURES = 20

export type GrantCounts = {
  /** Looked at. */
  readonly accounts: number
  readonly granted: number
  /** Granted by an earlier run, or by another one at the same time. */
  readonly replayed: number
  /** Closed, or not empty when only empty ones were asked for. */
  readonly skipped: number
  readonly failed: number
}

export type GrantReport = GrantCounts & {
  /** Not so when the ledger could not be written: the rest was not looked at. */
  readonly isComplete: boolean
  /** The first of those that failed. */
  readonly failures: readonly Failure[]
}

export type GrantExistingDeps = {
  readonly pool: pg.Pool
  readonly ledger: Pick<Ledger, 'submit' | 'preview' | 'read' | 'now'>
  readonly isDryRun: boolean
  /** After each page. */
  onProgress(counts: GrantCounts): void
}

type Failure = { readonly accountId: string; readonly code: string; readonly message: string }
type Ending = { readonly result: 'granted' | 'replayed' | 'skipped' } | FailedEnding
type FailedEnding = {
  readonly result: 'failed'
  readonly failure: Failure
  readonly isHalt: boolean
}

type Candidate = {
  readonly id: string
  readonly status: AccountStatus
  readonly isZero: boolean
  /** Lots are due that no sweep has taken yet. */
  readonly isStale: boolean
  /** Of what is stored under the campaign's key. */
  readonly digest: string | null
}

/**
 * Grants to each account there is, once: whoever has the campaign's row already is left alone, so
 * that it may be run again after a crash, beside a service, or twice at once. Throws
 * DatabaseSetupError, with nothing granted, when the name stands for other parameters, or when the
 * credits would be gone at once. An account that refuses does not keep the others from theirs.
 */
export const grantExisting = async (
  deps: GrantExistingDeps,
  campaign: Campaign,
): Promise<GrantReport> => {
  if (campaign.expiresAtMs !== null && campaign.expiresAtMs <= deps.ledger.now()) {
    throw new DatabaseSetupError('--expires-at must lie in the future')
  }
  await refuseConflict(deps.pool, campaign)
  const inTurn = createTurns(READS_AT_ONCE)
  const ledger = {
    submit: deps.isDryRun
      ? (operation: Operation) => inTurn(() => deps.ledger.preview(operation))
      : deps.ledger.submit,
    read: (accountId: string) => inTurn(() => deps.ledger.read(accountId)),
  }
  const counts = { accounts: 0, granted: 0, replayed: 0, skipped: 0, failed: 0 }
  const failures: Failure[] = []
  for await (const page of pagesOf(deps.pool, campaign.key)) {
    const endings = await Promise.all(page.map((account) => grantTo(ledger, campaign, account)))
    counts.accounts += endings.length
    for (const { result } of endings) counts[result] += 1
    const failed = endings.filter((ending) => ending.result === 'failed')
    failures.push(...failed.map(({ failure }) => failure).slice(0, MAX_FAILURES - failures.length))
    deps.onProgress(counts)
    if (failed.some(({ isHalt }) => isHalt)) return { ...counts, isComplete: false, failures }
  }
  return { ...counts, isComplete: true, failures }
}

/** How many accounts there are, for whoever shows how far it is. */
export const countAccounts = async (pool: pg.Pool): Promise<number> => {
  const { rows } = await pool.query<{ count: number }>('select count(*) as count from accounts')
  return rows[0]?.count ?? 0
}

/** The report in lines, for people. */
export const describeReport = (report: GrantReport, isDryRun: boolean): string[] => {
  const { accounts, granted, replayed, skipped, failed, failures } = report
  return [
    ...failures.map(({ accountId, code, message }) => `${accountId}: ${code}: ${message}`),
    ...(report.isComplete ? [] : ['stopped: the rest was not looked at; run it again']),
    `${accounts} accounts: ${granted} ${isDryRun ? 'would be granted' : 'granted'}, ` +
      `${replayed} granted before, ${skipped} skipped, ${failed} failed`,
  ]
}

const PAGE = `
  select a.id, a.status, a.balance = 0 as "isZero", r.digest,
         exists (select from grants g
                  where g.account_id = a.id and g.live and g.expires_at <= now()) as "isStale"
    from (select id, status, balance from accounts
           where $1::text is null or id > $1
           order by id limit $2) a
    left join lateral (select t.digest from ledger_rows t
                        where t.account_id = a.id and t.key = $3 limit 1) r on true
   order by a.id`

async function* pagesOf(pool: pg.Pool, key: string): AsyncGenerator<readonly Candidate[]> {
  let after: string | null = null
  for (;;) {
    const values: unknown[] = [after, PAGE_ACCOUNTS, key]
    const { rows }: { rows: Candidate[] } = await pool.query<Candidate>(PAGE, values)
    if (rows.length > 0) yield rows
    if (rows.length < PAGE_ACCOUNTS) return
    after = rows.at(-1)?.id ?? null
  }
}

/** Before anything is granted: half a campaign of either kind would be in nobody's mind. */
const refuseConflict = async (pool: pg.Pool, { name, key, digest }: Campaign): Promise<void> => {
  for await (const page of pagesOf(pool, key)) {
    const other = page.find((account) => account.digest !== null && account.digest !== digest)
    if (!other) continue
    throw new DatabaseSetupError(
      `conflict: the campaign "${name}" was run with other parameters (account ${other.id}): ` +
        'repeat those, or take another --name',
    )
  }
}

const grantTo = async (
  ledger: Pick<Ledger, 'submit' | 'read'>,
  campaign: Campaign,
  account: Candidate,
): Promise<Ending> => {
  if (account.digest === campaign.digest) return { result: 'replayed' }
  if (account.status === 'closed') return { result: 'skipped' }
  try {
    if (campaign.isOnlyZero && !(await isZeroNow(ledger, account))) return { result: 'skipped' }
    const { isReplay } = await ledger.submit(operationOf(campaign, account.id))
    return { result: isReplay ? 'replayed' : 'granted' }
  } catch (error) {
    if (hasCode(error, 'account_closed')) return { result: 'skipped' }
    return failedEnding(account.id, error)
  }
}

const isZeroNow = async (
  ledger: Pick<Ledger, 'read'>,
  { id, isZero, isStale }: Candidate,
): Promise<boolean> => (isStale ? (await ledger.read(id))?.balance === 0 : isZero)

const operationOf = (campaign: Campaign, accountId: string): Operation => ({
  kind: 'grant',
  accountId,
  key: campaign.key,
  digest: campaign.digest,
  actor: SYSTEM_ACTOR,
  requestId: null,
  metadata: null,
  amount: campaign.amount,
  source: campaign.source,
  priority: DEFAULT_PRIORITY,
  expiresAtMs: campaign.expiresAtMs,
  reason: `grant-existing: ${campaign.name}`,
})

/** What the account refuses is its own; anything else the next accounts would meet as well. */
const failedEnding = (accountId: string, error: unknown): FailedEnding => {
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof AppError ? error.code : 'internal'
  const isHalt = !(error instanceof AppError) || error.status >= 500
  return { result: 'failed', failure: { accountId, code, message }, isHalt }
}

/** Runs what it is given, so many at once; the others wait for their turn. */
const createTurns = (limit: number) => {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(act: () => Promise<T>): Promise<T> => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await act()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}
