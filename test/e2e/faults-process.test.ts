import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { atOnce, type Client, type Reply, tally } from './kit-client.js'
import { openPostgres } from './kit-postgres.js'
import { openScene, TIMEOUT_MS } from './kit-scene.js'
import { slowDown } from './kit-triggers.js'

t.setTimeout(TIMEOUT_MS)
const postgres = await openPostgres(t)

t.test('two services on one database', { timeout: TIMEOUT_MS }, async (t) => {
  const url = await postgres.createDatabase('pair')
  const env = { DATABASE_URL: url }
  const scene = await openScene(t, { places: 2, databaseUrl: () => url, env })
  const { ground, random } = scene
  const { sql } = ground

  await t.test('F1: kill -9 of either under load, again and again', async (t) => {
    const load = await scene.load()
    for (const place of [0, 1]) {
      await sleep(random.between(200, 600))
      await scene.kill(place)
      await sleep(random.between(50, 200))
      await scene.start(place)
    }
    await sleep(300)
    await load.check(t)
  })

  await t.test('F8: clients that give up after 50 ms and ask again 5 times', async (t) => {
    const hurry = await slowDown(sql, 0.12)
    const load = await scene.load({ workers: 24, timeoutMs: 50, retries: 5, pauseMs: 0 })
    await sleep(2_500)
    const queued = await queuedIn(ground)
    t.ok(queued < 2_000, `${queued} operations wait`)
    await hurry()
    await sleep(500)
    await load.check(t)
  })

  await t.test('F18: SIGTERM under load behind a balancer: nobody notices', async (t) => {
    await scene.services[0]?.stop()
    await scene.start(0, { SHUTDOWN_DELAY_MS: '800' })
    const load = await scene.load()
    await sleep(600)
    const balancer = new AbortController()
    const [stopping, staying] = scene.urls as [string, string]
    const balancing = takeOutWhenNotReady(scene.urls, stopping, staying, balancer.signal)
    t.equal(await scene.services[0]?.stop(), 0, 'it ends in order')
    await sleep(200)
    await load.stop()
    balancer.abort()
    await balancing
    const troubled = load.calls.filter(({ trouble }) => trouble !== null)
    t.same(troubled, [], 'every call was answered')
    await load.check(t)
  })

  await t.test('F18: SIGTERM without a balancer: what was accepted is answered', async (t) => {
    await scene.start(0)
    const load = await scene.load()
    // so that there is always something under way
    const hurry = await slowDown(sql, 0.1)
    for (const place of [0, 1]) {
      await sleep(500)
      t.equal(await scene.services[place]?.stop(), 0, 'it ends in order')
      await scene.start(place)
    }
    await hurry()
    await sleep(200)
    await load.check(t)
    const turnedAway = load.calls.filter(({ trouble }) => trouble !== null)
    t.ok(turnedAway.length > 0, `${turnedAway.length} met a closed door`)
    const dropped = turnedAway.filter(
      ({ reply }) => reply?.headers['idempotent-replayed'] === 'true',
    )
    t.same(dropped, [], 'none of them had been done without an answer')
  })
})

t.test('F21: at twice the load it can take, a service goes on at its pace', async (t) => {
  const url = await postgres.createDatabase('overload')
  const limits = { LEDGER_LANES: '1', LEDGER_BATCH_LIMIT: '10', LEDGER_QUEUE_LIMIT: '30' }
  const env = { DATABASE_URL: url, ...limits }
  const scene = await openScene(t, { places: 1, databaseUrl: () => url, env })
  const { ground } = scene
  const accounts = Array.from({ length: 20 }, (_, i) => `busy-${i}`)
  await Promise.all(accounts.map((id) => ground.open(id, 1_000_000)))
  // the database is what is slow here, so that the test itself has time to ask
  const hurry = await slowDown(ground.sql, 0.08)
  let turn = 0
  const charge = () =>
    ground.call('POST', `/v1/accounts/${accounts[turn++ % 20]}/charges`, { amount: 1 })
  let best = 0
  const all: Reply[] = []
  // the machine may be busy with something else for a while: then once more
  for (let round = 0; round < 3 && best < 0.85; round += 1) {
    const saturation = await rateOf(1_500, 25, charge)
    const { replies, seconds } = await offer(2 * saturation, 2_500, charge)
    const goodput = replies.filter(({ status }) => status === 201).length / seconds
    t.comment(`${saturation.toFixed()}/s alone, at twice that ${goodput.toFixed()}/s`)
    best = Math.max(best, goodput / saturation)
    all.push(...replies)
  }
  t.ok(best > 0.85, `the goodput stays: ${best.toFixed(2)}`)
  const slowest = Math.max(...all.filter(({ status }) => status === 201).map(({ ms }) => ms))
  t.ok(slowest < 3_000, `nobody waits in a long queue: ${slowest.toFixed()} ms`)
  const refused = all.filter(({ status }) => status !== 201)
  t.ok(refused.length > 0.2 * all.length, 'it was too much')
  t.ok(refused.every(({ body }) => body.code === 'overloaded'))
  t.ok(refused.every(({ headers }) => Number(headers['retry-after']) >= 1))
  await hurry()
  t.same(tally(await atOnce(25, charge)), { 201: 25 }, 'all is well at once')
  const total = await ground.sql<{ sum: string }>(`select sum(balance) from accounts`)
  const charged = 20 * 1_000_000 - Number(total[0]?.sum)
  const [rows] = await ground.sql<{ count: string }>(
    `select count(*) from transactions where type = 'charge'`,
  )
  t.equal(charged, Number(rows?.count))
})

const queuedIn = async ({ call }: Client): Promise<number> => {
  const { body } = await call('GET', '/metrics')
  return Number(/^creditd_ledger_queued_operations (\d+)/m.exec(body)?.[1])
}

/** A balancer as there are many: it asks for readiness, and sends nobody where there is none. */
const takeOutWhenNotReady = async (
  urls: string[],
  watched: string,
  other: string,
  signal: AbortSignal,
): Promise<void> => {
  while (!signal.aborted) {
    const isReady = await fetch(`${watched}/health/ready`).then(
      ({ status }) => status === 200,
      () => false,
    )
    if (!isReady) urls[0] = other
    await sleep(50)
  }
}

/** Successes a second when so many callers ask again as soon as they are answered. */
const rateOf = async (
  durationMs: number,
  callers: number,
  act: () => Promise<Reply>,
): Promise<number> => {
  const startMs = performance.now()
  let done = 0
  await atOnce(callers, async () => {
    while (performance.now() - startMs < durationMs) {
      if ((await act()).status === 201) done += 1
    }
  })
  return done / ((performance.now() - startMs) / 1_000)
}

/** Asks at a rate that does not care for the answers. */
const offer = async (
  rate: number,
  durationMs: number,
  act: () => Promise<Reply>,
): Promise<{ replies: Reply[]; seconds: number }> => {
  const startMs = performance.now()
  const asked: Promise<Reply>[] = []
  for (;;) {
    const elapsedMs = performance.now() - startMs
    if (elapsedMs > durationMs) break
    while (asked.length < (rate * elapsedMs) / 1_000) asked.push(act())
    await sleep(5)
  }
  const replies = await Promise.all(asked)
  return { replies, seconds: (performance.now() - startMs) / 1_000 }
}
