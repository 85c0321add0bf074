import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import tap, { type Test } from 'tap'
import { digestOf, newKey } from '../../src/ledger/ids.js'
import { createLedger, type Ledger } from '../../src/ledger/ledger.js'
import type { Operation, Outcome, Priced, Request } from '../../src/ledger/model.js'
import { createReads, type LedgerReads } from '../../src/ledger/reads.js'
import { createUpkeep, type Upkeep } from '../../src/ledger/upkeep.js'
import { verify } from '../../src/ledger/verify.js'
import { openFresh } from '../helpers/database.js'

export type Ask = Operation extends infer T
  ? T extends Operation
    ? Omit<T, keyof Request>
    : never
  : never

export type Bank = {
  readonly pool: pg.Pool
  readonly ledger: Ledger
  readonly reads: LedgerReads
  readonly upkeep: Upkeep
  readonly faults: unknown[]
  does(accountId: string, ask: Ask): Promise<Outcome>
}

/** A test on a ledger and a database of its own; it ends with books that agree and no fault. */
export const withBank = (name: string, body: (t: Test, bank: Bank) => Promise<void>) =>
  tap.test(name, async (t) => {
    const bank = await openBank(t)
    await body(t, bank)
    await bank.ledger.close()
    t.same((await verify(bank.pool, null)).mismatches, [])
    t.same(bank.faults, [])
  })

async function openBank(t: Test): Promise<Bank> {
  const { pool } = await openFresh(t)
  const faults: unknown[] = []
  const ledger = await createLedger({
    pool,
    time: { monotonicMs: () => performance.now(), sleep, soon: setImmediate, random: Math.random },
    limits: {
      lanes: 2,
      batchOperations: 200,
      batchBytes: 1_048_576,
      queueOperations: 10_000,
      timeoutMs: 10_000,
      cachedParts: 1_000,
    },
    onFault: (error) => faults.push(error),
    onBatch: () => {},
  })
  const reads = createReads(pool)
  const upkeep = createUpkeep({ pool, ledger, reads, onFault: (error) => faults.push(error) })
  return {
    pool,
    ledger,
    reads,
    upkeep,
    faults,
    does: (accountId, ask) => ledger.submit({ ...requestFor(accountId), ...ask }),
  }
}

const requestFor = (accountId: string): Request => ({
  accountId,
  key: newKey(),
  digest: digestOf('test'),
  actor: 'tester',
  requestId: null,
  metadata: null,
})

export const priced = (amount: number) => (): Priced => ({ amount, detail: null })

export const grantOf = (
  amount: number,
  more: Partial<Extract<Ask, { kind: 'grant' }>> = {},
): Ask => ({
  kind: 'grant',
  amount,
  source: 'bonus',
  priority: 50,
  expiresAtMs: null,
  reason: null,
  ...more,
})

export const chargeOf = (amount: number, action: string | null = null): Ask => ({
  kind: 'charge',
  action,
  quote: priced(amount),
})

/** Waits until the database's clock has passed an instant: lots and holds are due by that clock. */
export async function until(ledger: Ledger, instantMs: number): Promise<void> {
  while (ledger.now() <= instantMs) await sleep(Math.max(1, instantMs - ledger.now()))
}
