import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { createProxy, type Wire } from '../helpers/proxy.js'
import { outside } from './guarantees.js'
import {
  charge,
  count,
  type Ground,
  grant,
  ids,
  keyOf,
  open,
  type Service,
  told,
  until,
  withGround,
} from './kit.js'

/** What a caller may hear of a charge while the database or the way to it is in trouble. */
const ALLOWED = new Set(['applied', 'replayed', 'overloaded', 'outcome_unknown'])
const UNAVAILABLE = 'database_unavailable'

type Asked = { readonly accountId: string; readonly key: string; word: string }

/** Callers that charge 1 again and again until they are told to stop; each charge has its key. */
function load({ ledger }: Service, accounts: readonly string[], callers: number) {
  const asked: Asked[] = []
  let isOver = false
  const call = async (caller: number) => {
    for (let i = 0; !isOver; i += 1) {
      const accountId = accounts[(caller + i) % accounts.length] ?? ''
      const one: Asked = { accountId, key: keyOf(`${caller} ${i}`), word: '' }
      asked.push(one)
      one.word = await told(ledger.submit(charge(accountId, 1, one.key)))
      if (one.word !== 'applied') await sleep(20)
    }
  }
  const all = Promise.all(Array.from({ length: callers }, (_, i) => call(i)))
  return {
    asked,
    async stop() {
      isOver = true
      await all
    },
  }
}

/** Acknowledged: there once. Refused: not there. Unknown: told by its key, and there once then. */
async function settle(t: Test, ground: Ground, service: Service, asked: readonly Asked[]) {
  const { rows } = await ground.pool.query<{ key: string; times: number }>(
    'select key, count(*)::int as times from transactions where key is not null group by key',
  )
  const times = new Map(rows.map((row) => [row.key, row.times]))
  const there = (...told: string[]) =>
    asked.filter(({ word }) => told.includes(word)).map(({ key }) => times.get(key) ?? 0)
  t.ok(
    there('applied', 'replayed').every((n) => n === 1),
    'what was acknowledged is there once',
  )
  t.ok(
    there(UNAVAILABLE).every((n) => n === 0),
    'what was refused is not',
  )
  t.ok(
    there('overloaded').every((n) => n === 0),
    'nor what was turned away',
  )
  const words = asked.map(({ word }) => word)
  t.same(
    words.filter((word) => !ALLOWED.has(word) && word !== UNAVAILABLE),
    [],
    'no other answer',
  )
  for (const { accountId, key, word } of asked) {
    if (word !== 'outcome_unknown') continue
    const again = await told(service.ledger.submit(charge(accountId, 1, key)))
    t.equal(again, times.get(key) === 1 ? 'replayed' : 'applied')
  }
  t.same(ground.faults, [])
  t.comment(JSON.stringify(count(words)))
}

const openAll = async ({ ledger }: Service, accounts: readonly string[]) => {
  await Promise.all(accounts.map((id) => ledger.submit(open(id, 1_000_000))))
}

withGround(
  'back ends that are killed under load lose and double nothing (F2)',
  async (t, ground) => {
    const service = await ground.open({ limits: { timeoutMs: 3000 } })
    const accounts = ids(50)
    await openAll(service, accounts)
    const { asked, stop } = load(service, accounts, 64)
    for (let i = 0; i < 12; i += 1) {
      await sleep(80)
      await ground.pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query like '%ledger_%' and pid <> pg_backend_pid()`,
      )
    }
    const before = asked.length
    await until(() => asked.length > before + 200)
    await stop()
    await settle(t, ground, service, asked)
  },
)

async function throughProxy(ground: Ground): Promise<{ proxy: Wire; service: Service }> {
  const url = new URL(ground.url)
  const proxy = await createProxy(Number(url.port))
  url.port = String(proxy.port)
  const service = await ground.open({
    url: url.href,
    limits: { timeoutMs: 1500 },
    statementTimeoutMs: 300,
    poolTimeoutMs: 500,
  })
  return { proxy, service }
}

for (const [mode, what] of [
  ['reset', 'connections that are reset'],
  ['mute', 'replies that are dropped'],
  ['hole', 'a way that swallows everything'],
  ['cut', 'a database that refuses connections'],
] as const) {
  withGround(`${what} lose and double nothing, and all goes on after (F3)`, async (t, ground) => {
    const { proxy, service } = await throughProxy(ground)
    const accounts = ids(30)
    await openAll(service, accounts)
    const { asked, stop } = load(service, accounts, 32)
    await sleep(200)
    if (mode === 'reset') {
      for (let i = 0; i < 10; i += 1) {
        proxy.reset()
        await sleep(60)
      }
    } else {
      proxy.set(mode)
      if (mode !== 'hole') proxy.reset()
      await sleep(800)
      proxy.set('pass')
      proxy.reset()
    }
    const before = asked.filter(({ word }) => word === 'applied').length
    await until(() => asked.filter(({ word }) => word === 'applied').length > before + 100, 8000)
    await stop()
    await settle(t, ground, service, asked)
    await service.ledger.close()
    await proxy.close()
  })
}

withGround(
  'a deadlock made by an outside session costs nobody an answer (F16)',
  async (t, ground) => {
    const service = await ground.open()
    await openAll(service, ids(5))
    const [a = '', ...others] = ids(5)
    await outside(ground, async (client) => {
      await client.query('begin')
      await client.query('select 1 from grants where account_id = $1 for update', [a])
      const asked = [a, ...others].map((id) => told(service.ledger.submit(charge(id, 1))))
      // The append has the account and waits for the grant; this waits for the account.
      await sleep(100)
      const crossing = client.query('select 1 from accounts where id = $1 for update', [a])
      const outcome = await crossing.then(
        () => 'won',
        (error: { code: string }) => error.code,
      )
      await client.query('rollback')
      t.ok(['won', '40P01'].includes(outcome), outcome)
      t.same(count(await Promise.all(asked)), { applied: 5 })
    })
    t.same(ground.faults, [])
  },
)

withGround(
  'one operation that can not be stored fails alone among 200 (F12)',
  async (t, ground) => {
    const service = await ground.open({ limits: { lanes: 1 } })
    const accounts = ids(40)
    await openAll(service, accounts)
    const poison = [
      { ...charge('a-1', 1), metadata: { text: 'a\u0000b' } },
      { ...charge('a-2', 1), metadata: { text: '\ud800' } },
      { ...charge('a-3', 1), actor: 'a\u0000b' },
      { ...grant('a-4', 1), expiresAtMs: 1e16 },
    ]
    const asked = Array.from({ length: 200 }, (_, i) => charge(`a-${i % 40}`, 1))
    for (const [i, operation] of poison.entries()) asked[50 * i + 7] = operation
    const words = await Promise.all(
      asked.map((operation) => told(service.ledger.submit(operation))),
    )
    t.same(count(words), { applied: 196, internal: 4 })
    t.equal(ground.faults.length, 4)
    t.ok(poison.every((operation) => words[asked.indexOf(operation)] === 'internal'))
  },
)

withGround('a read-only database is told at once, and taken up again (F15)', async (t, ground) => {
  const service = await ground.open()
  await openAll(service, ['a'])
  const set = async (value: string) => {
    await ground.pool.query(
      `alter database ${ground.name} set default_transaction_read_only = ${value}`,
    )
    await ground.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`,
    )
  }
  await set('on')
  // What was sent over a connection that just ended is unknown; here all are new ones.
  await until(() => service.pool.totalCount === 0)
  const words = await Promise.all(
    Array.from({ length: 20 }, () => told(service.ledger.submit(charge('a', 1)))),
  )
  t.same(count(words), { [UNAVAILABLE]: 20 })
  t.equal((await service.ledger.read('a'))?.balance, 1_000_000, 'reads go on')
  await outside(ground, async (client) => {
    await client.query('set default_transaction_read_only = off')
    await client.query(`alter database ${ground.name} set default_transaction_read_only = off`)
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`,
    )
  })
  await until(async () => (await told(service.ledger.submit(charge('a', 1)))) === 'applied')
  t.same(ground.faults, [])
})

withGround('the gate of an open connection holds, and opens again', async (t, ground) => {
  const service = await ground.open()
  const accounts = ids(20)
  await openAll(service, accounts)
  const { asked, stop } = load(service, accounts, 32)
  await sleep(150)
  await outside(ground, async (client) => {
    await client.query('begin')
    await client.query('lock table accounts in exclusive mode')
    await client.query('update control set writable = false')
    await client.query('commit')
  })
  const { rows: at } = await ground.pool.query('select count(*)::int as rows from transactions')
  await sleep(300)
  const { rows: later } = await ground.pool.query('select count(*)::int as rows from transactions')
  t.same(later, at, 'not one row while it is closed')
  await ground.pool.query('update control set writable = true')
  const before = asked.length
  await until(() => asked.slice(before).some(({ word }) => word === 'applied'))
  await stop()
  const words = count(asked.map(({ word }) => word))
  t.same(Object.keys(words).sort(), ['applied', 'maintenance'])
})
