import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { outside } from './guarantees.js'
import { charge, count, grant, ids, keyOf, open, type Service, told, withGround } from './kit.js'

withGround('100 calls with one key over two processes have one effect (F7)', async (t, ground) => {
  const services = [await ground.open(), await ground.open()] as const
  const [{ ledger }] = services
  await Promise.all(['a', 'b'].map((id) => ledger.submit(open(id, 1000))))
  const asked = charge('a', 10, keyOf('one'))
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => services[(i % 2) as 0 | 1].ledger.submit(asked)),
  )
  t.equal(answers.filter(({ isReplay }) => !isReplay).length, 1, 'one is new')
  t.equal(new Set(answers.map(({ row }) => row?.seq)).size, 1, 'all have the same row')
  t.equal(
    await told(ledger.submit(charge('b', 10, keyOf('one')))),
    'applied',
    'elsewhere it is free',
  )
  t.same([(await ledger.read('a'))?.balance, (await ledger.read('b'))?.balance], [990, 990])
})

withGround('exactly what is there can be spent, from two processes (F9)', async (t, ground) => {
  const services = [await ground.open(), await ground.open()] as const
  await services[0].ledger.submit(open('a', 500))
  const words = await Promise.all(
    Array.from({ length: 150 }, (_, i) =>
      told(services[(i % 2) as 0 | 1].ledger.submit(charge('a', 10))),
    ),
  )
  t.same(count(words), { applied: 50, insufficient_credits: 100 })
  t.equal((await services[1].ledger.read('a'))?.balance, 0)
})

withGround('many processes that touch accounts first open each once (F19)', async (t, ground) => {
  const services = [await ground.open(), await ground.open(), await ground.open()]
  const accounts = ids(20)
  const words = await Promise.all(
    services.flatMap(({ ledger }) =>
      accounts.flatMap((id) => [
        told(ledger.submit(open(id, 7))),
        told(ledger.submit({ ...grant(id, 3), key: keyOf(`grant ${id}`) })),
      ]),
    ),
  )
  t.notOk(
    words.some((word) => word === 'internal' || word.includes('Error')),
    'nobody failed',
  )
  const [first] = services
  for (const id of accounts) {
    await first?.ledger.submit({ ...grant(id, 3), key: keyOf(`grant ${id}`) })
    t.equal((await first?.ledger.read(id))?.balance, 10)
  }
})

withGround(
  'a session that holds one account keeps nobody else waiting (F16)',
  async (t, ground) => {
    const { ledger } = await ground.open({ limits: { timeoutMs: 1500 } })
    const accounts = ids(20)
    await Promise.all([...accounts, 'locked'].map((id) => ledger.submit(open(id, 1_000_000))))
    const calm = await latencies(ledger, accounts, 400)
    const { locked, held, meanwhile } = await outside(ground, async (client) => {
      await client.query('begin')
      await client.query(`select 1 from accounts where id = 'locked' for update`)
      const waiting = Array.from({ length: 50 }, () => told(ledger.submit(charge('locked', 1))))
      const meanwhile = await latencies(ledger, accounts, 1600)
      const held = await Promise.all(waiting)
      const later = Array.from({ length: 50 }, () => told(ledger.submit(charge('locked', 1))))
      await client.query('commit')
      return { meanwhile, held, locked: await Promise.all(later) }
    })
    t.same(count(held), { overloaded: 50 }, 'held for longer than the deadline: 503')
    t.same(count(locked), { applied: 50 }, 'and it goes on when it is free')
    t.comment(`p99 in ms: ${calm.p99} without, ${meanwhile.p99} while an account is held`)
    t.ok(meanwhile.p99 < Math.max(5 * calm.p99, 100), 'the others are as quick')
    t.same(ground.faults, [])
  },
)

withGround('a session that holds 100 accounts keeps nobody else waiting', async (t, ground) => {
  const { ledger } = await ground.open({ limits: { timeoutMs: 5000 } })
  const [accounts, held] = [ids(20), ids(100, 'held')]
  await Promise.all([...accounts, ...held].map((id) => ledger.submit(open(id, 1_000_000))))
  const { meanwhile, waiting } = await outside(ground, async (client) => {
    await client.query('begin')
    await client.query('select 1 from accounts where id = any ($1) for update', [held])
    const waiting = held.map((id) => told(ledger.submit(charge(id, 1))))
    const meanwhile = await latencies(ledger, accounts, 800)
    await client.query('commit')
    return { meanwhile, waiting: await Promise.all(waiting) }
  })
  t.same(count(waiting), { applied: 100 })
  t.comment(`p99 in ms while 100 accounts are held: ${meanwhile.p99}`)
  t.ok(meanwhile.p99 < 200)
})

withGround('a session that holds the grants of one account stops only that', async (t, ground) => {
  const { ledger } = await ground.open({ limits: { lanes: 1, timeoutMs: 5000 } })
  const accounts = ids(20)
  await Promise.all([...accounts, 'locked'].map((id) => ledger.submit(open(id, 1_000_000))))
  const { meanwhile, waiting } = await outside(ground, async (client) => {
    await client.query('begin')
    await client.query(`select 1 from grants where account_id = 'locked' for update`)
    await client.query(`insert into accounts select 'new', version, seq, balance, held, debt,
      created_at, updated_at, null, status from accounts where id = 'locked'`)
    const asked = [charge('locked', 1), open('new'), ...accounts.map((id) => charge(id, 1))]
    const waiting = asked.map((operation) => told(ledger.submit(operation)))
    await sleep(1600)
    const meanwhile = await latencies(ledger, accounts, 800)
    await client.query('rollback')
    return { meanwhile, waiting: await Promise.all(waiting) }
  })
  t.same(count(waiting), { applied: 22 })
  t.comment(`p99 in ms while grants are held: ${meanwhile.p99}`)
  t.ok(meanwhile.p99 < 200)
  t.same(ground.faults, [])
})

withGround('two processes share one hot account fairly', async (t, ground) => {
  const services = [await ground.open(), await ground.open()] as const
  await services[0].ledger.submit(open('hot', 1_000_000_000))
  const alone = await rate([services[0]], 700)
  const [one = 0, two = 0] = await rate(services, 1200)
  t.comment(`charges/s on one account: alone ${alone[0]}, together ${one} and ${two}`)
  t.ok(Math.min(one, two) > 0.25 * Math.max(one, two), 'neither starves')
  t.ok(one + two > 0.2 * (alone[0] ?? 0), 'and together they get on')
  const { balance, seq } = (await services[0].ledger.read('hot')) ?? { balance: 0, seq: 0 }
  t.equal(balance + seq - 1, 1_000_000_000, 'each charge of 1 is there once')
})

/** The latencies of charges over the accounts, a few at a time, for that long. */
async function latencies(ledger: Service['ledger'], accounts: readonly string[], forMs: number) {
  const endMs = performance.now() + forMs
  const tookMs: number[] = []
  const caller = async (id: string) => {
    while (performance.now() < endMs) {
      const startMs = performance.now()
      await ledger.submit(charge(id, 1))
      tookMs.push(performance.now() - startMs)
      await sleep(2)
    }
  }
  await Promise.all(accounts.map(caller))
  tookMs.sort((a, b) => a - b)
  return { p99: Math.round(tookMs[Math.floor(tookMs.length * 0.99)] ?? 0) }
}

/** Charges per second of each service on the hot account, 32 callers each. */
async function rate(services: readonly Service[], forMs: number): Promise<number[]> {
  const endMs = performance.now() + forMs
  return Promise.all(
    services.map(async ({ ledger }) => {
      let done = 0
      const caller = async () => {
        while (performance.now() < endMs) {
          await ledger.submit(charge('hot', 1))
          done += 1
        }
      }
      await Promise.all(Array.from({ length: 32 }, caller))
      return Math.round((done * 1000) / forMs)
    }),
  )
}
