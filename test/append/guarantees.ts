import assert from 'node:assert/strict'
import { performance } from 'node:perf_hooks'
import pg from 'pg'
import type { Operation } from '../../src/ledger/model.js'
import type { LedgerPort } from '../../src/ledger/port.js'
import { act, charge, decided, grant, ids, keyOf, open, plain, until } from './kit.js'

/** Where a guarantee is tried: accounts of its own begin with `prefix`. */
export type Place = {
  readonly url: string
  readonly pool: pg.Pool
  readonly port: LedgerPort
  readonly prefix: string
}

/** What `ledger_append` promises; throws when it does not hold. */
export type Guarantee = {
  readonly point: 1 | 2 | 3 | 4 | 5 | 7
  readonly name: string
  run(place: Place): Promise<void>
}

const OK = { status: 'ok', refused: {} }

export const append = async ({ port }: Place, ...operations: Operation[]) =>
  plain(await port.append(await decided(port, ...operations)))

export async function account({ pool }: Place, id: string) {
  const { rows } = await pool.query<{ version: number; seq: number; balance: number }>(
    'select version, seq, balance from accounts where id = $1',
    [id],
  )
  return rows[0]
}

/** A session of its own, which ends with the work. */
export async function outside<T>({ url }: Pick<Place, 'url'>, work: (c: pg.Client) => Promise<T>) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Runs while another session holds the row of an account. */
export const whileLocked = <T>(place: Pick<Place, 'url'>, id: string, work: () => Promise<T>) =>
  outside(place, async (client) => {
    await client.query('begin')
    await client.query('select 1 from accounts where id = $1 for update', [id])
    return await work()
  })

const isWaiting = async ({ pool }: Place, like: string): Promise<boolean> => {
  const { rowCount } = await pool.query(
    `select 1 from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like $1`,
    [like],
  )
  return rowCount === 1
}

const CLOSE_GATE = [
  'begin',
  'lock table accounts in exclusive mode',
  "update control set writable = false, reason = 'test', updated_at = now()",
  'commit',
]
const OPEN_GATE = 'update control set writable = true, reason = null, updated_at = now()'

async function settled(place: Place, change: string): Promise<void> {
  await place.pool.query(change)
}

export const SQL_GUARANTEES: readonly Guarantee[] = [
  {
    point: 1,
    name: 'a freeze raises the version and not the seq, and what was decided before is refused',
    async run(place) {
      const id = `${place.prefix}-a`
      await append(place, open(id, 10))
      const before = await decided(place.port, charge(id, 1))
      assert.deepEqual(await append(place, act(id, 'freeze')), OK)
      assert.deepEqual(await account(place, id), { version: 2, seq: 1, balance: 10 })
      const reply = plain(await place.port.append(before))
      assert.deepEqual(reply, { status: 'ok', refused: { [id]: 'moved' } })
      assert.deepEqual(await account(place, id), { version: 2, seq: 1, balance: 10 })
    },
  },
  {
    point: 1,
    name: 'a batch of another epoch is refused whole',
    async run(place) {
      const [a, b] = [`${place.prefix}-a`, `${place.prefix}-b`]
      await append(place, open(a, 10))
      const batch = await decided(place.port, charge(a, 1), open(b, 5))
      await settled(place, 'update control set epoch = gen_random_uuid()')
      assert.deepEqual(plain(await place.port.append(batch)), { status: 'epoch', refused: {} })
      assert.equal((await account(place, a))?.balance, 10)
      assert.equal(await account(place, b), undefined)
    },
  },
  {
    point: 1,
    name: 'closing the gate lets an append in flight finish and stops every later one',
    async run(place) {
      const [a, b] = [`${place.prefix}-a`, `${place.prefix}-b`]
      await append(place, open(a, 10), open(b, 10))
      const late = await decided(place.port, charge(b, 1))
      await outside(place, async (client) => {
        await client.query('begin')
        await client.query('select 1 from accounts where id = $1 for update', [a])
        const closing = outside(place, async (gate) => {
          for (const statement of CLOSE_GATE) await gate.query(statement)
        })
        await until(() => isWaiting(place, 'lock table accounts%'))
        const appending = place.port.append(late)
        await until(() => isWaiting(place, '%ledger_append%'))
        await client.query('update accounts set version = version + 1 where id = $1', [a])
        await client.query('commit')
        await closing
        assert.deepEqual(plain(await appending), { status: 'gate', refused: {} })
      }).finally(() => settled(place, OPEN_GATE))
      assert.equal((await account(place, a))?.version, 2, 'what was in flight is there')
      assert.equal((await account(place, b))?.balance, 10, 'what came later is not')
      assert.deepEqual(await append(place, charge(b, 1)), OK)
    },
  },
  {
    point: 1,
    name: 'without a control row nothing is written',
    async run(place) {
      const id = `${place.prefix}-a`
      await append(place, open(id, 10))
      const batch = await decided(place.port, charge(id, 1))
      const { rows } = await place.pool.query('delete from control returning epoch')
      const reply = plain(await place.port.append(batch))
      await place.pool.query(
        'insert into control (id, epoch, writable, updated_at) values (1, $1, true, now())',
        [rows[0]?.epoch],
      )
      assert.equal(reply.status, 'epoch')
      assert.equal((await account(place, id))?.balance, 10)
    },
  },
  {
    point: 2,
    name: 'an account may go along with no rows: proven, and left as it is',
    async run(place) {
      const id = `${place.prefix}-a`
      await append(place, open(id, 10))
      const refusal = await decided(place.port, charge(id, 11))
      assert.deepEqual(plain(await place.port.append(refusal)), OK)
      assert.deepEqual(await account(place, id), { version: 1, seq: 1, balance: 10 })
      await append(place, grant(id, 5))
      const reply = plain(await place.port.append(refusal))
      assert.deepEqual(reply, { status: 'ok', refused: { [id]: 'moved' } })
    },
  },
  {
    point: 2,
    name: 'the events of an account that is refused stay away with its rows',
    async run(place) {
      const [a = '', b = ''] = ids(2, place.prefix)
      await append(place, open(a, 10), open(b, 10))
      const tell = { announce: { type: 'test.done', data: {} } }
      const batch = await decided(
        place.port,
        ...[a, b].map((id) => ({ ...charge(id, 1), ...tell })),
      )
      await append(place, act(a, 'freeze'))
      assert.deepEqual(plain(await place.port.append(batch)).refused, { [a]: 'moved' })
      const { rows } = await place.pool.query(
        'select account_id as id from events where account_id = any ($1)',
        [[a, b]],
      )
      assert.deepEqual(rows, [{ id: b }])
    },
  },
  {
    point: 3,
    name: 'a fence waits for an append in flight, and refuses those that come after it',
    async run(place) {
      const id = `${place.prefix}-a`
      await append(place, open(id, 10))
      const batch = await decided(place.port, charge(id, 1))
      await outside(place, async (client) => {
        await client.query('begin')
        await client.query('update accounts set version = version + 1 where id = $1', [id])
        const fencing = place.port.fence([id, `${place.prefix}-unknown`])
        await until(() => isWaiting(place, '%ledger_fence%'))
        await client.query('commit')
        await fencing
      })
      assert.equal((await account(place, id))?.version, 3, 'the append and the fence')
      const reply = plain(await place.port.append(batch))
      assert.deepEqual(reply, { status: 'ok', refused: { [id]: 'moved' } })
    },
  },
  {
    point: 4,
    name: 'a batch more than a second off is refused whole',
    async run(place) {
      const id = `${place.prefix}-a`
      await append(place, open(id, 100))
      for (const [offMs, status] of [
        [-1600, 'clock'],
        [1600, 'clock'],
        [-600, 'ok'],
      ] as const) {
        const batch = await decided(place.port, charge(id, 1))
        const reply = await place.port.append({ ...batch, nowMs: batch.nowMs + offMs })
        assert.equal(reply.status, status, `${offMs} ms off`)
        const databaseMs = (await place.port.load(NOTHING)).nowMs
        assert.ok(Math.abs(reply.nowMs - databaseMs) < 1000, 'and the time is told')
      }
      assert.equal((await account(place, id))?.balance, 99)
    },
  },
  {
    point: 5,
    name: 'a locked account comes back as busy at once, and its neighbours are written',
    async run(place) {
      const accounts = ids(5, place.prefix)
      const [, locked = ''] = accounts
      await append(place, ...accounts.map((id) => open(id, 10)))
      const batch = await decided(place.port, ...accounts.map((id) => charge(id, 1)))
      const startMs = performance.now()
      const reply = await whileLocked(place, locked, () => place.port.append(batch))
      assert.deepEqual(plain(reply), { status: 'ok', refused: { [locked]: 'busy' } })
      assert.ok(performance.now() - startMs < 900, 'nobody waited')
      for (const id of accounts) {
        assert.equal((await account(place, id))?.balance, id === locked ? 10 : 9)
      }
    },
  },
  {
    point: 5,
    name: 'of many that touch an account first, one opens it and all are told (F19)',
    async run(place) {
      const [first = '', second = ''] = ids(2, place.prefix)
      await append(place, open(second, 10))
      const batches = await Promise.all(
        Array.from({ length: 8 }, () => decided(place.port, open(first, 7), charge(second, 1))),
      )
      const replies = await Promise.all(batches.map((batch) => place.port.append(batch)))
      const opened = replies.filter(({ refused }) => !refused.has(first))
      const charged = replies.filter(({ refused }) => !refused.has(second))
      assert.deepEqual([opened.length, charged.length], [1, 1])
      assert.deepEqual(await account(place, first), { version: 1, seq: 1, balance: 7 })
      assert.deepEqual(await account(place, second), { version: 2, seq: 2, balance: 9 })
    },
  },
  {
    point: 7,
    name: 'a key that was used is refused, in its account only',
    async run(place) {
      const [a = '', b = ''] = ids(2, place.prefix)
      const key = keyOf(place.prefix)
      await append(place, open(a, 10), open(b, 10))
      await append(place, charge(a, 1, key))
      const again = await decided(place.port, charge(a, 2))
      const reply = plain(await place.port.append({ ...again, keys: [{ accountId: a, key }] }))
      assert.deepEqual(reply, { status: 'ok', refused: { [a]: 'key' } })
      assert.deepEqual(await append(place, charge(b, 1, key)), OK)
      assert.equal((await account(place, a))?.balance, 9)
    },
  },
  {
    point: 7,
    name: 'a key that was archived stays used, in accounts that have archived rows',
    async run(place) {
      const [a = '', b = ''] = ids(2, place.prefix)
      const key = keyOf(place.prefix)
      await append(place, open(a, 10), open(b, 10))
      await append(place, charge(a, 1, key))
      await archive(place, a)
      for (const hasArchive of [true, false]) {
        const mark = 'update accounts set has_archive = $1 where id = $2'
        await place.pool.query(mark, [hasArchive, a])
        const batch = await decided(place.port, charge(a, 2), charge(b, 1))
        const keys = [{ accountId: a, key }]
        const reply = plain(await place.port.append({ ...batch, keys }))
        assert.deepEqual(reply.refused, hasArchive ? { [a]: 'key' } : {})
      }
      await place.pool.query('update accounts set has_archive = true where id = $1', [a])
    },
  },
]

const NOTHING = { accounts: [], keys: [], charges: [], holds: [], lots: [] }

/** Moves all rows of an account, as archiving will. */
export async function archive({ url }: Pick<Place, 'url'>, id: string): Promise<void> {
  await outside({ url }, async (client) => {
    await client.query("set session_replication_role = 'replica'")
    await client.query(
      `with gone as (delete from transactions where account_id = $1 returning *)
       insert into transactions_archive select * from gone`,
      [id],
    )
  })
}
