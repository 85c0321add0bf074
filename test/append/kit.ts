import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import tap, { type Test } from 'tap'
import { openDatabase } from '../../src/db/open.js'
import { AppError } from '../../src/errors.js'
import type { Told } from '../../src/ledger/announce-rules.js'
import { digestOf, keyDigest, newKey } from '../../src/ledger/ids.js'
import type { LaneLimits } from '../../src/ledger/lane.js'
import { createLedger, type Ledger } from '../../src/ledger/ledger.js'
import type { Operation, Request } from '../../src/ledger/model.js'
import { type KnownAccount, knownFrom, whatToLoad } from '../../src/ledger/needs.js'
import { planBatch } from '../../src/ledger/plan.js'
import type { AppendReply, Batch, LedgerPort } from '../../src/ledger/port.js'
import { verify } from '../../src/ledger/verify.js'
import { createWriter } from '../../src/ledger/writer.js'
import { openFresh, quietLog } from '../helpers/database.js'

/** A database of a test's own, and ledgers over it as separate processes would have them. */
export type Ground = {
  readonly url: string
  readonly name: string
  /** Connections beside those of the ledgers. */
  readonly pool: pg.Pool
  readonly port: LedgerPort
  /** What ledgers reported as not their callers' fault. */
  readonly faults: unknown[]
  open(options?: Options): Promise<Service>
}

export type Service = {
  readonly ledger: Ledger
  readonly pool: pg.Pool
  /** The statements sent, by their names. */
  readonly calls: string[]
  close(): Promise<void>
}

type Options = {
  readonly url?: string
  readonly limits?: Partial<LaneLimits>
  readonly statementTimeoutMs?: number
  readonly poolTimeoutMs?: number
  readonly told?: Told
}

const LIMITS: LaneLimits = {
  lanes: 2,
  batchOperations: 200,
  batchBytes: 1_048_576,
  queueOperations: 10_000,
  timeoutMs: 10_000,
  cachedParts: 100_000,
}
/** Lanes, accounts done alone, and one to read by. */
const POOL_SIZE = 5

/** A test on real PostgreSQL; it ends with books in which `verify` finds nothing. */
export const withGround = (name: string, body: (t: Test, ground: Ground) => Promise<void>) =>
  tap.test(name, async (t) => {
    const { url, name: database, pool } = await openFresh(t, { lockTimeoutMs: 1000 })
    const faults: unknown[] = []
    const services: Service[] = []
    const open = async (options: Options = {}) => {
      const service = await openService(t, { url, ...options }, faults)
      services.push(service)
      return service
    }
    const ground = { url, name: database, pool, port: createWriter(pool), faults, open }
    await body(t, ground)
    await Promise.all(services.map(({ ledger }) => ledger.close()))
    t.same((await verify(pool, null)).mismatches, [], 'the books agree')
  })

async function openService(
  t: Test,
  { url, limits, told, ...timeouts }: Options & { readonly url: string },
  faults: unknown[],
): Promise<Service> {
  const db = await openDatabase({ url, log: quietLog, poolSize: POOL_SIZE, ...timeouts })
  t.teardown(() => db.close())
  const calls: string[] = []
  countCalls(db.pool, calls)
  const ledger = await createLedger({
    pool: db.pool,
    time: { monotonicMs: () => performance.now(), sleep, soon: setImmediate, random: Math.random },
    limits: { ...LIMITS, ...limits },
    ...(told && { told }),
    onFault: (error) => faults.push(error),
    onBatch: () => {},
  })
  const close = async () => {
    await ledger.close()
    await db.close()
  }
  return { ledger, pool: db.pool, calls, close }
}

/** Notes the name of each statement that goes over the wire. */
function countCalls(pool: pg.Pool, calls: string[]): void {
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    const counted = (...args: unknown[]) => {
      const [first] = args as [string | { name?: string; text?: string }]
      calls.push(typeof first === 'string' ? first : (first.name ?? first.text ?? ''))
      return query(...args)
    }
    Object.assign(client, { query: counted })
  })
}

export const requestOf = (accountId: string, key: string = newKey()): Request => ({
  accountId,
  key,
  digest: digestOf('body'),
  actor: 'tester',
  requestId: null,
  metadata: null,
})

export const keyOf = (text: string): string => keyDigest('api', text)

export const open = (accountId: string, signupBonus = 0): Operation => ({
  ...requestOf(accountId),
  kind: 'open',
  signupBonus,
})

export const charge = (accountId: string, amount: number, key?: string): Operation => ({
  ...requestOf(accountId, key),
  kind: 'charge',
  action: 'draw',
  quote: () => ({ amount, detail: null }),
})

export const grant = (accountId: string, amount: number, key?: string): Operation => ({
  ...requestOf(accountId, key),
  kind: 'grant',
  amount,
  source: 'bonus',
  priority: 50,
  expiresAtMs: null,
  reason: null,
})

export const act = (accountId: string, kind: 'freeze' | 'unfreeze' | 'sweep'): Operation => ({
  ...requestOf(accountId),
  kind,
})

/** The code of the refusal, or what was applied. */
export async function told(answer: Promise<{ isReplay: boolean }>): Promise<string> {
  try {
    return (await answer).isReplay ? 'replayed' : 'applied'
  } catch (error) {
    return error instanceof AppError ? error.code : String(error)
  }
}

/** How many times each of the words. */
export function count(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

export const ids = (number: number, prefix = 'a'): string[] =>
  Array.from({ length: number }, (_, i) => `${prefix}-${i}`)

/** Loads and decides, as a lane does; what is decided can then be appended at leisure. */
export async function decided(port: LedgerPort, ...operations: Operation[]): Promise<Batch> {
  const entries = operations.map((operation) => ({ operation, lookUp: true }))
  const request = whatToLoad(entries, () => undefined)
  const reply = await port.load(request)
  const known = knownFrom(request, reply)
  const of = (id: string): KnownAccount => {
    const account = known.get(id)
    if (!account) throw new Error(`${id} was not loaded`)
    // Not fresh, so that refusals go along to be proven.
    return { ...account, isFresh: false }
  }
  const plan = planBatch(entries, of, { epoch: reply.epoch, nowMs: reply.nowMs })
  if (!plan.batch) throw new Error('nothing is to be written')
  return plan.batch
}

/** An append's reply in a form to compare. */
export const plain = ({ status, refused }: AppendReply) => ({
  status,
  refused: Object.fromEntries(refused),
})

/** Waits until something is true; the test fails when it never is. */
export async function until(isTrue: () => Promise<boolean> | boolean, withinMs = 5000) {
  const endMs = performance.now() + withinMs
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error('it never came true')
    await sleep(10)
  }
}
