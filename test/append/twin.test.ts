import { performance } from 'node:perf_hooks'
import { digestOf } from '../../src/ledger/ids.js'
import type { Operation } from '../../src/ledger/model.js'
import type { OutboxEvent } from '../../src/ledger/outbox.js'
import type { Batch, LoadReply, LoadRequest } from '../../src/ledger/port.js'
import { createFakeDatabase, START_MS } from '../lanes/fake-database.js'
import { realKit } from '../lanes/kit.js'
import { createOperations } from '../lanes/operations.js'
import { createRandom } from '../lanes/random.js'
import { count, decided, type Ground, ids, keyOf, open, plain, withGround } from './kit.js'

// TWIN_SEED=… plays one seed again.
const seed = Number(process.env.TWIN_SEED ?? Date.now() % 2 ** 31)
const STEPS = 250

const NOTHING: LoadRequest = { accounts: [], keys: [], charges: [], holds: [], lots: [] }

const EVENTS = `
  select json_build_object('accountId', account_id, 'id', id, 'type', type, 'data', data,
                           'createdAtMs', to_ms(created_at)) as event
    from events`

/** Everything there is of the accounts, rows 1 to `rows` and what they name. */
function everything(accounts: readonly string[], rows: number, keys: LoadRequest['keys']) {
  const parts = accounts.flatMap((accountId) =>
    Array.from({ length: rows }, (_, i) => ({ accountId, seq: i + 1 })),
  )
  return { accounts, keys, charges: parts, holds: parts, lots: parts }
}

/** A reply without its time and in one order; lots of charges come once or twice. */
function comparable({ nowMs: _, epoch: __, ...reply }: LoadReply): unknown {
  const lists = Object.entries(reply).map(([name, list]) => {
    const texts = (list as readonly unknown[]).map((item) => JSON.stringify(sorted(item)))
    return [name, [...new Set(texts)].sort()]
  })
  return Object.fromEntries(lists)
}

/** With those of the keys that are of its accounts. */
function withKeys(batch: Batch, more: Batch['keys']): Batch {
  const own = new Set(batch.accounts.map(({ state }) => state.accountId))
  return { ...batch, keys: [...batch.keys, ...more.filter(({ accountId }) => own.has(accountId))] }
}

const inText = (events: readonly OutboxEvent[]): string[] =>
  events.map((event) => JSON.stringify(sorted(event))).sort()

async function eventsOf({ pool }: Ground): Promise<string[]> {
  const { rows } = await pool.query<{ event: OutboxEvent }>(EVENTS)
  return inText(rows.map(({ event }) => event))
}

/** The same value with object keys in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]))
}

withGround('the database of the simulation and PostgreSQL are alike', async (t, ground) => {
  t.comment(`TWIN_SEED=${seed}`)
  const { port } = ground
  const random = createRandom(seed)
  const accounts = ids(3)
  const startMs = (await port.load(NOTHING)).nowMs - performance.now()
  const monotonicMs = () => startMs + performance.now() - START_MS
  const hooks = { onWrite() {}, onFence() {}, onRestore() {} }
  const fake = createFakeDatabase(realKit, monotonicMs, hooks, new Set())
  const { epoch } = await port.load(NOTHING)

  const seen: string[] = []
  const both = async (batch: Batch) => {
    const reply = plain(await port.append({ ...batch, epoch }))
    t.same(reply, plain(fake.append({ ...batch, epoch: '1' })), 'the same reply')
    for (const reason of Object.values(reply.refused)) seen.push(reason)
  }
  await both(await decided(port, ...accounts.slice(0, 2).map((id) => open(id, 100))))
  const databaseMs = fake.nowMs
  const next = createOperations({ random, accountIds: accounts, databaseMs, hasPoison: false })
  const keys: { accountId: string; key: string }[] = []
  const ask = (): Operation => {
    const operation = next()
    const { accountId } = operation
    const key = keyOf(operation.key)
    keys.push({ accountId, key })
    return { ...operation, key, digest: digestOf(operation.digest) }
  }
  let stale: Batch | null = null
  for (let step = 0; step < STEPS; step += 1) {
    const asked = Array.from({ length: random.between(1, 6) }, ask)
    const batch = await decided(port, ...asked).catch(() => null)
    if (!batch) continue
    // Now and then keys that are used already go along, as those of a lost append would.
    await both(withKeys(batch, random.isLucky(0.1) ? keys.slice(-20) : []))
    if (stale && random.isLucky(0.3)) await both({ ...stale, nowMs: fake.nowMs() })
    if (random.isLucky(0.2)) stale = batch
    if (random.isLucky(0.05)) {
      await port.fence(accounts)
      fake.fence(accounts)
    }
  }
  const all = everything(accounts, 500, keys)
  const [books, expected] = [await port.load(all), fake.load(all)]
  t.same(comparable(books), comparable(expected), 'the same books')
  const events = accounts.flatMap((id) => fake.books(id).events)
  t.same(await eventsOf(ground), inText(events), 'and the same events')
  t.ok(events.length > 50, `${events.length} events`)
  for (const { rows } of accounts.map(fake.books)) seen.push(...rows.map(({ type }) => type))
  for (const type of ['claw_back', 'reinstate', 'allocation']) t.ok(seen.includes(type), type)
  t.comment(JSON.stringify(count(seen)))
})
