import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createDeliveries, createLocalDeliveries } from '../../src/alerts/deliveries.js'
import { rulesOf } from '../../src/alerts/rules.js'
import { type AlertsDeps, createAlerts } from '../../src/alerts/service.js'
import { createAlertStore, readStates } from '../../src/alerts/store.js'
import { createWebhook } from '../../src/alerts/webhook.js'
import { type Database, openDatabase } from '../../src/db/open.js'
import { THRESHOLDS } from '../../src/thresholds.js'
import { openFresh, quietLog, type TestContext } from '../helpers/database.js'
import { closedPort } from '../helpers/fake-postgres.js'
import { createProxy } from '../helpers/proxy.js'
import { openReceiver } from './kit.js'

const START_MS = Date.UTC(2026, 5, 1)
const STEP_MS = 15_000
const MISMATCH = 'credit_balance_mismatches'
const DATABASE_UP = 'creditd_database_up'

type Line = { message: string; [field: string]: unknown }

/** Instances of one service, whose metrics say what they are told, on a clock that is moved. */
const setUp = async (t: TestContext, { url = '' } = {}) => {
  const db = await openFresh(t)
  const time = { nowMs: START_MS }
  const lines: Line[] = []
  const note = (fields: object, message?: string) =>
    lines.push({ ...fields, message: message ?? '' })
  const log = { info: note, warn: note, error: note } as unknown as AlertsDeps['log']
  const create = (instanceId: string, own: Database = db) => {
    const figures = new Map<string, number[]>([[DATABASE_UP, [1]]])
    const deps = { db: own, instanceId, newId: randomUUID, now: () => time.nowMs, log }
    const alerts = createAlerts({
      ...deps,
      rules: rulesOf(THRESHOLDS),
      valuesOf: async (metric) => figures.get(metric) ?? [],
      store: createAlertStore({ ...deps, isDelivered: url !== '' }),
      deliveries: createDeliveries(own.orm),
      localDeliveries: createLocalDeliveries(),
      send: url === '' ? null : createWebhook(url, { timeoutMs: 300 }),
    })
    return { ...alerts, figures }
  }
  /** Every instance looks and sends, at once, `steps` times. */
  const pass = async (instances: ReturnType<typeof create>[], steps: number) => {
    for (let step = 0; step < steps; step++) {
      time.nowMs += STEP_MS
      await Promise.all(instances.map(({ evaluate }) => evaluate()))
      await Promise.all(instances.map(({ deliver }) => deliver()))
    }
  }
  const waiting = async () =>
    (await db.pool.query('select count(*)::int as n from alert_deliveries')).rows[0].n
  return { db, time, lines, create, pass, waiting }
}

t.test('two instances tell together that it fires, once, and that it is over, once', async (t) => {
  const receiver = await openReceiver(t)
  const { create, pass, waiting, lines } = await setUp(t, receiver)
  const [one, two] = [create('one'), create('two')]
  await pass([one, two], 2)
  t.same(receiver.taken, [])
  one.figures.set(MISMATCH, [11])
  two.figures.set(MISMATCH, [11])
  await pass([one, two], 10)
  t.equal(receiver.taken.length, 1)
  t.match(receiver.taken[0], {
    headers: { 'content-type': 'application/json' },
    notice: {
      name: 'credit_balance_mismatch',
      severity: 'critical',
      action: 'page_oncall',
      status: 'firing',
      value: 11,
      threshold: 10,
      at: new Date(START_MS + 3 * STEP_MS).toISOString(),
      instance: null,
    },
  })
  t.equal(one.firing().get('credit_balance_mismatch'), true)
  t.equal(two.firing().get('credit_balance_mismatch'), true)
  t.equal(two.firing().get('api_latency'), false)
  one.figures.set(MISMATCH, [0])
  two.figures.set(MISMATCH, [0])
  await pass([one, two], 10)
  t.equal(receiver.taken.length, 2)
  t.match(receiver.taken[1], { notice: { status: 'resolved', value: 0 } })
  t.equal(one.firing().get('credit_balance_mismatch'), false)
  t.equal(two.firing().get('credit_balance_mismatch'), false)
  t.equal(await waiting(), 0)
  t.equal(lines.length, 2, 'and it is in the log as often')
})

t.test('one instance that is ill is enough, and one that is gone is forgotten', async (t) => {
  const receiver = await openReceiver(t)
  const { create, pass } = await setUp(t, receiver)
  const [ill, well] = [create('ill'), create('well')]
  well.figures.set('api_error_rate', [0])
  ill.figures.set('api_error_rate', [0.2])
  await pass([ill, well], 6)
  t.match(receiver.taken, [{ notice: { name: 'api_error_rate', status: 'firing', value: 0.2 } }])
  await pass([well], 10)
  t.match(receiver.taken[1], { notice: { status: 'resolved', value: 0 } })
  t.equal(receiver.taken.length, 2)
})

t.test('a blip is not told, what lasts is', async (t) => {
  const receiver = await openReceiver(t)
  const { create, pass } = await setUp(t, receiver)
  const one = create('one')
  for (let blip = 0; blip < 5; blip++) {
    one.figures.set('api_error_rate', [0.5])
    await pass([one], 3)
    one.figures.set('api_error_rate', [0])
    await pass([one], 1)
  }
  t.equal(receiver.attempts(), 0)
})

t.test('a receiver that is down is told when it is back, in order, each once', async (t) => {
  const receiver = await openReceiver(t)
  const { create, pass, waiting, lines } = await setUp(t, receiver)
  const [one, two] = [create('one'), create('two')]
  receiver.answer(500)
  one.figures.set(MISMATCH, [99])
  await pass([one, two], 20)
  t.ok(receiver.attempts() >= 3 && receiver.attempts() <= 6, `${receiver.attempts()} in 5 min`)
  receiver.answer('hang')
  one.figures.set(MISMATCH, [0])
  await pass([one, two], 20)
  t.equal(await waiting(), 2)
  t.match(
    lines.filter(({ message }) => message === 'an alert could not be delivered'),
    [{ reason: 'it answered 500' }],
  )
  t.ok(lines.some(({ reason }) => reason === 'it did not answer in time'))
  receiver.answer(302)
  await pass([one, two], 48)
  t.equal(await waiting(), 2, 'a redirect is not followed and is no delivery')
  receiver.answer(200)
  await pass([one, two], 80)
  t.same(
    receiver.taken.map(({ notice }) => notice.status),
    ['firing', 'resolved'],
  )
  t.equal(await waiting(), 0)
})

t.test('an instance that dies leaves what it had to tell to another', async (t) => {
  const receiver = await openReceiver(t)
  const { create, pass } = await setUp(t, receiver)
  const one = create('one')
  one.figures.set(MISMATCH, [11])
  await one.evaluate()
  const two = create('two')
  await pass([two], 1)
  t.match(receiver.taken, [{ notice: { status: 'firing' } }])
})

t.test('a receiver that is never back does not fill the database', async (t) => {
  const { create, pass, time, waiting, lines, db } = await setUp(t, {
    url: `http://127.0.0.1:${await closedPort()}/`,
  })
  const one = create('one')
  await db.pool.query(
    `insert into alert_deliveries (id, name, notice, created_at, next_attempt_at)
     select 'x' || n, 'x' || n, '{"at": ""}', $1::timestamptz, $1::timestamptz + interval '1 year'
       from generate_series(1, 1200) n`,
    [new Date(START_MS)],
  )
  await pass([one], 1)
  t.equal(await waiting(), 1_000)
  one.figures.set(MISMATCH, [11])
  await pass([one], 1)
  t.ok(lines.some(({ reason }) => reason === 'it can not be reached: ECONNREFUSED'))
  time.nowMs += 25 * 3_600_000
  await pass([one], 1)
  t.equal(await waiting(), 0)
  t.match(
    lines.filter(({ message }) => message === 'changes of alerts were never delivered'),
    [{ lost: 200 }, { lost: 1 }, { lost: 1_000 }],
  )
})

t.test(
  'while the database is away each instance says so itself, and when it is back',
  async (t) => {
    const receiver = await openReceiver(t)
    const { create, pass, db, lines } = await setUp(t, receiver)
    const target = new URL(db.url)
    const wire = await createProxy(Number(target.port))
    target.hostname = '127.0.0.1'
    target.port = String(wire.port)
    const own = await openDatabase({ url: target.href, log: quietLog })
    t.teardown(async () => {
      await own.close()
      await wire.close()
    })
    const one = create('one', own)
    await pass([one], 2)
    wire.set('cut')
    wire.reset()
    one.figures.set(DATABASE_UP, [0])
    await pass([one], 2)
    t.equal(receiver.attempts(), 0, 'not yet: it may be a restart')
    receiver.answer(503)
    await pass([one], 1)
    t.equal(receiver.attempts(), 1)
    receiver.answer(200)
    await pass([one], 1)
    t.match(receiver.taken, [
      { notice: { name: 'database_unavailable', status: 'firing', instance: 'one', value: 0 } },
    ])
    t.equal(one.firing().get('database_unavailable'), true)
    wire.set('pass')
    one.figures.set(DATABASE_UP, [1])
    await pass([one], 6)
    t.match(receiver.taken[1], { notice: { status: 'resolved', instance: 'one' } })
    t.equal(receiver.taken.length, 2)
    t.equal(lines.filter(({ message }) => /could not be evaluated/.test(message)).length, 0)
  },
)

t.test('no credential is in what is sent, logged or kept', async (t) => {
  const receiver = await openReceiver(t)
  const url = receiver.url.replace('//', '//hook%40user:hunter2@')
  const { create, pass, lines, db } = await setUp(t, { url })
  const one = create('one')
  one.figures.set(MISMATCH, [11])
  receiver.answer(500)
  await pass([one], 1)
  receiver.answer(200)
  await pass([one], 4)
  const basic = Buffer.from('hook@user:hunter2').toString('base64')
  t.equal(receiver.taken[0]?.headers.authorization, `Basic ${basic}`)
  const { rows } = await db.pool.query('select notice from alert_deliveries')
  const said = JSON.stringify([lines, rows, receiver.taken.map(({ notice }) => notice)])
  for (const secret of ['hunter2', 'secret-path', basic, new URL(db.url).host]) {
    t.notMatch(said, secret)
  }
})

t.test('with nowhere to send to, changes are logged and nothing is kept', async (t) => {
  const { create, pass, waiting, lines, db } = await setUp(t)
  const one = create('one')
  one.figures.set(MISMATCH, [11])
  await pass([one], 5)
  t.equal(await waiting(), 0)
  t.match(lines, [{ alert: 'credit_balance_mismatch', action: 'page_oncall', value: 11 }])
  const states = await readStates(db)
  t.match(states.get('credit_balance_mismatch'), { status: 'firing', value: 11 })
  t.match(states.get('api_latency'), { status: 'quiet', value: null })
})
