import { verify } from '../src/ledger/verify.js'
import type { LoadResult } from './load/http-load.js'
import type { Stage } from './stage.js'

/** What was acknowledged, to be held against what is stored. */
export type Tally = {
  add(result: Pick<LoadResult, 'applied' | 'appliedCredits'>): void
  addPgbench(charges: number): void
  read(): { readonly charges: number; readonly credits: number; readonly pgbench: number }
}

export function createTally(): Tally {
  const tally = { charges: 0, credits: 0, pgbench: 0 }
  return {
    add({ applied, appliedCredits }) {
      tally.charges += applied
      tally.credits += appliedCredits
    },
    addPgbench(charges) {
      tally.pgbench += charges
    },
    read: () => ({ ...tally }),
  }
}

export type Recount = {
  readonly acknowledged: number
  readonly stored: number
  /** Accounts whose books were gone over. */
  readonly accounts: number
  /** What is wrong, in words; empty when nothing is. */
  readonly faults: readonly string[]
}

const COUNT = `
  select count(*)::float8 as charges, coalesce(-sum(amount), 0)::float8 as credits
    from transactions
   where type = 'charge'`
const FAULTS_SHOWN = 5

/** Each acknowledged charge must be one stored row, no other row be there, and the books agree. */
export async function recount(
  { pool, pgbench }: Pick<Stage, 'pool' | 'pgbench'>,
  tally: Tally,
): Promise<Recount> {
  const said = tally.read()
  const { rows } = await pool.query<{ charges: number; credits: number }>(COUNT)
  const { charges = 0, credits = 0 } = rows[0] ?? {}
  const { accounts, mismatches } = await verify(pool, null)
  const pgbenchRows = (await pgbench?.countRows()) ?? 0
  const pairs = [
    ['charges', said.charges, charges],
    ['credits', said.credits, credits],
    ['charges of pgbench', said.pgbench, pgbenchRows],
  ] as const
  const faults = pairs
    .filter(([, acknowledged, stored]) => acknowledged !== stored)
    .map(
      ([what, acknowledged, stored]) => `${what}: ${acknowledged} acknowledged, ${stored} stored`,
    )
  for (const { accountId, check, expected, actual } of mismatches.slice(0, FAULTS_SHOWN)) {
    faults.push(`account ${accountId}: ${check} should be ${expected} and is ${actual}`)
  }
  return { acknowledged: said.charges, stored: charges, accounts: Number(accounts), faults }
}
