import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  type Answer,
  CLAIM_LEASE_MS,
  createIdempotencyRecords,
  type IdempotencyDeps,
} from '../../src/http/idempotency.js'
import { openApp } from '../helpers/app.js'
import { openFresh, type TestContext } from '../helpers/database.js'

const KEY = '00000000-0000-4000-8000-000000000001'
const DIGEST = '00000000-0000-4000-8000-00000000000a'
const OTHER = '00000000-0000-4000-8000-00000000000b'

const openRecords = async (t: TestContext, deps: Partial<IdempotencyDeps> = {}) => {
  const db = await openFresh(t)
  const clock = { ms: Date.UTC(2026, 0, 1) }
  let ids = 0
  const records = createIdempotencyRecords({
    orm: db.orm,
    now: () => clock.ms,
    newId: () => `holder-${ids++}`,
    sleep: (ms) => sleep(Math.min(ms, 5)),
    ttlMs: 60_000,
    ...deps,
  })
  return { records, clock, db }
}

t.test('a write done twice under one key is done once and answered twice', async (t) => {
  const { records } = await openRecords(t)
  let runs = 0
  const work = async () => ({ status: 201, body: { run: ++runs } })
  const claimed = { key: KEY, digest: DIGEST }
  t.same(await records.once(claimed, work), { status: 201, body: { run: 1 }, isReplay: false })
  t.same(await records.once(claimed, work), { status: 201, body: { run: 1 }, isReplay: true })
  await t.rejects(records.once({ key: KEY, digest: OTHER }, work), {
    code: 'idempotency_key_reused',
  })
  t.equal(runs, 1)
})

t.test('a refused write is forgotten, so that its key stays usable', async (t) => {
  const { records } = await openRecords(t)
  const claimed = { key: KEY, digest: DIGEST }
  await t.rejects(
    records.once(claimed, async () => {
      throw new Error('refused')
    }),
    /refused/,
  )
  const other = await records.once({ key: KEY, digest: OTHER }, async () => ({
    status: 200,
    body: 1,
  }))
  t.equal(other.isReplay, false)
})

t.test('the others wait for the first, also when it is slow', async (t) => {
  const { records } = await openRecords(t)
  let runs = 0
  const work = async () => {
    runs += 1
    await sleep(100)
    return { status: 200, body: runs }
  }
  const claimed = { key: KEY, digest: DIGEST }
  const answers = await Promise.all(Array.from({ length: 8 }, () => records.once(claimed, work)))
  t.equal(runs, 1)
  t.same([...new Set(answers.map(({ body }) => body))], [1])
  t.equal(answers.filter(({ isReplay }) => !isReplay).length, 1)
})

t.test('a claim that a crash left behind is taken over when its lease is over', async (t) => {
  const { records, clock } = await openRecords(t)
  const claimed = { key: KEY, digest: DIGEST }
  records.once(claimed, () => new Promise<never>(() => {})).catch(() => {})
  await sleep(50)
  clock.ms += CLAIM_LEASE_MS
  const answer = await records.once(claimed, async () => ({ status: 200, body: 'second' }))
  t.match(answer, { body: 'second', isReplay: false })
})

t.test('whoever waits for the first answer too long is told that it is not known', async (t) => {
  const { records, clock } = await openRecords(t)
  const claimed = { key: KEY, digest: DIGEST }
  records.once(claimed, () => new Promise<never>(() => {})).catch(() => {})
  await sleep(50)
  const waiting = records.once(claimed, async () => ({ status: 200, body: 'second' }))
  await sleep(50)
  clock.ms += CLAIM_LEASE_MS - 1_000
  await t.rejects(waiting, { code: 'outcome_unknown' })
})

t.test('whoever lost its claim does not overwrite the answer of the other', async (t) => {
  const { records, clock } = await openRecords(t)
  const claimed = { key: KEY, digest: DIGEST }
  let finish: (answer: Answer<string>) => void = () => {}
  const first = new Promise<Answer<string>>((resolve) => {
    finish = resolve
  })
  const slow = records.once(claimed, () => first)
  await sleep(50)
  clock.ms += CLAIM_LEASE_MS
  await records.once(claimed, async () => ({ status: 200, body: 'second' }))
  finish({ status: 200, body: 'first' })
  t.equal((await slow).body, 'first')
  const again = await records.once(claimed, async () => ({ status: 200, body: 'third' }))
  t.match(again, { body: 'second', isReplay: true })
})

t.test('an answer is remembered for its time; a clean-up counts what it deletes', async (t) => {
  const { records, clock } = await openRecords(t)
  const claimed = { key: KEY, digest: DIGEST }
  const work = (body: number) => async () => ({ status: 200, body })
  await records.once(claimed, work(1))
  t.equal(await records.cleanUp(clock.ms), 0)
  clock.ms += 59_999
  t.match(await records.once(claimed, work(2)), { body: 1, isReplay: true })
  clock.ms += 1
  t.match(await records.once(claimed, work(3)), { body: 3, isReplay: false })
  t.equal(await records.cleanUp(clock.ms + 60_000), 1)
  t.equal(await records.cleanUp(clock.ms + 60_000), 0)
})

t.test('an answer with a secret is given once and stored never', async (t) => {
  const { records, db } = await openRecords(t)
  const claimed = { key: KEY, digest: DIGEST }
  const work = async () => ({ status: 201, body: { key: 'secret' } })
  await records.once(claimed, work, { isSecret: true })
  await t.rejects(records.once(claimed, work, { isSecret: true }), { code: 'secret_not_replayed' })
  const { rows } = await db.pool.query('select * from idempotency_records')
  t.notMatch(JSON.stringify(rows), /secret"?:"?secret|key":"secret/)
})

t.test('every write answers a repeat with the first answer, from any instance', async (t) => {
  const one = await openApp(t)
  const two = await openApp(t, { url: one.url })
  await one.open('a', 1_000)
  await one.open('b')
  await one.call('PUT', '/v1/prices/p', { cost: 1 })
  await one.call('PUT', '/v1/tiers', { tiers: [{ id: 'pro', level: 1 }] })
  const { body: charge } = await one.call('POST', '/v1/accounts/a/charges', { amount: 10 })
  const { body: lot } = await one.call('POST', '/v1/accounts/a/grants', { amount: 10 })
  const hold = async () =>
    (await one.call('POST', '/v1/accounts/a/holds', { amount: 5, ttlSeconds: 60 })).body.holdId
  const path = '/v1/accounts/a'
  const writes: [string, string, object, object][] = [
    ['POST', `${path}/charges`, { amount: 7, metadata: { a: 1 } }, { amount: 8 }],
    ['POST', `${path}/refunds`, { transactionId: charge.transactionId, amount: 1 }, { amount: 2 }],
    ['POST', `${path}/grants`, { amount: 7 }, { source: 'monthly' }],
    ['POST', `${path}/holds`, { amount: 7, ttlSeconds: 60 }, { ttlSeconds: 61 }],
    ['POST', `${path}/holds/${await hold()}/capture`, { amount: 3 }, { amount: 4 }],
    ['POST', `${path}/holds/${await hold()}/release`, {}, { metadata: { x: 1 } }],
    ['POST', `${path}/holds/${await hold()}/extend`, { ttlSeconds: 90 }, { ttlSeconds: 91 }],
    ['POST', `${path}/adjustments`, { amount: -1, reason: 'x' }, { reason: 'y' }],
    ['DELETE', `${path}/grants/${lot.grantId}`, {}, { reason: 'y' }],
    ['POST', '/v1/transfers', { from: 'a', to: 'b', amount: 1 }, { amount: 2 }],
    ['POST', `${path}/freeze`, {}, { reason: 'y' }],
    ['POST', `${path}/unfreeze`, {}, { reason: 'y' }],
    ['PUT', `${path}/membership`, { tier: 'pro' }, { tier: null }],
    ['PUT', path, { email: 'a@x.y' }, { email: 'b@x.y' }],
    ['PUT', '/v1/prices/p', { cost: 2 }, { cost: 3 }],
    ['DELETE', path, {}, { reason: 'y' }],
  ]
  for (const [index, [method, url, body, change]] of writes.entries()) {
    const idempotencyKey = `key-${index}`
    const name = `${method} ${url}`
    const first = await one.call(method, url, body, { idempotencyKey })
    t.ok(first.status < 300, `${name}: ${first.status}`)
    t.notOk(first.headers['idempotent-replayed'], name)
    const again = await two.call(method, url, body, { idempotencyKey: `"${idempotencyKey}"` })
    t.equal(again.status, first.status, name)
    t.same(again.body, first.body, name)
    t.equal(again.headers['idempotent-replayed'], 'true', name)
    const other = await two.call(method, url, { ...body, ...change }, { idempotencyKey })
    t.match(other, { status: 422, body: { code: 'idempotency_key_reused' } }, name)
  }
  t.same((await one.call('GET', '/v1/reconcile')).body.mismatches, [])
})

t.test('fifty at once with one key on two instances do it once', async (t) => {
  const one = await openApp(t)
  const two = await openApp(t, { url: one.url })
  await one.open('a', 1_000)
  const at = (index: number) => (index % 2 === 0 ? one : two)
  const charges = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      at(index).call('POST', '/v1/accounts/a/charges', { amount: 7 }, { idempotencyKey: 'k' }),
    ),
  )
  t.same([...new Set(charges.map(({ status }) => status))], [201])
  t.equal(new Set(charges.map(({ body }) => JSON.stringify(body))).size, 1)
  t.equal(charges.filter(({ headers }) => !headers['idempotent-replayed']).length, 1)
  t.equal((await two.call('GET', '/v1/accounts/a/balance')).body.balance, 993)

  const prices = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      at(index).call('PUT', '/v1/prices/p', { cost: 5 }, { idempotencyKey: 'k' }),
    ),
  )
  t.same([...new Set(prices.map(({ status }) => status))], [200])
  t.equal(new Set(prices.map(({ body }) => body.updatedAt)).size, 1)
  t.equal(prices.filter(({ headers }) => !headers['idempotent-replayed']).length, 1)
})

t.test('a refused charge leaves its key usable', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10)
  const path = '/v1/accounts/a/charges'
  t.equal((await call('POST', path, { amount: 11 }, { idempotencyKey: 'k' })).status, 402)
  t.equal((await call('POST', path, { amount: 5 }, { idempotencyKey: 'k' })).status, 201)
})

t.test('keys are scoped to the account, and elsewhere to the caller', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10)
  await open('b', 10)
  const k = { idempotencyKey: 'k' }
  t.equal((await call('POST', '/v1/accounts/a/charges', { amount: 1 }, k)).status, 201)
  const other = await call('POST', '/v1/accounts/b/charges', { amount: 2 }, k)
  t.equal(other.status, 201)
  t.notOk(other.headers['idempotent-replayed'])
  const made = await call('POST', '/v1/api-keys', { name: 'n', scopes: ['admin'] })
  const mine = { idempotencyKey: 'k2' }
  await call('PUT', '/v1/prices/p', { cost: 5 }, mine)
  const theirs = await call('PUT', '/v1/prices/p', { cost: 6 }, { ...mine, key: made.body.key })
  t.equal(theirs.status, 200)
})

t.test('an unusable key is refused before anything is done', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10)
  const charge = (idempotencyKey: string) =>
    call('POST', '/v1/accounts/a/charges', { amount: 1 }, { idempotencyKey })
  for (const key of ['', '   ', '""', 'a"b', 'a\\b', 'x'.repeat(256), 'ä', 'tab\there']) {
    t.equal((await charge(key)).status, 400, JSON.stringify(key))
    const price = await call('PUT', '/v1/prices/p', { cost: 1 }, { idempotencyKey: key })
    t.equal(price.status, 400, JSON.stringify(key))
  }
  t.equal((await call('GET', '/v1/accounts/a/balance')).body.balance, 10)
  for (const key of ['x'.repeat(255), `"${'y'.repeat(255)}"`, 'a b', '!#$%&', 'k']) {
    t.equal((await charge(key)).status, 201, JSON.stringify(key))
  }
})
