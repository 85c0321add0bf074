import t from 'tap'
import { inTransaction } from '../../src/db/transaction.js'
import { CLAIM_LEASE_MS, createIdempotencyRecords } from '../../src/http/idempotency.js'
import { openApp, type TestApp } from '../helpers/app.js'
import { openFresh, type TestContext } from '../helpers/database.js'

/* A crash between what a write does and the record of its answer: both are there, or neither. */

const BODY = { name: 'n', scopes: ['credits:read'] }
const KEY = { idempotencyKey: 'k' }
const IN_TIME = { deadlineMs: 5_000 }

/** Whoever records an answer fails in this way, as often as is said. */
const failAtRecord = async ({ core }: TestApp, how: string, times: number) => {
  await core.db.pool.query(`
    create sequence failures;
    create function fail_at_record() returns trigger language plpgsql as $$
    begin
      if nextval('failures') <= ${times} then ${how}; end if;
      return new;
    end $$;
    create trigger fail_at_record before update on idempotency_records
      for each row when (new.result is not null) execute function fail_at_record()`)
}

const endLeases = ({ core }: TestApp) =>
  core.db.pool.query(
    `update idempotency_records set expires_at = now() - interval '1 s' where result is null`,
  )

const countKeys = async ({ core }: TestApp): Promise<number> =>
  (await core.db.pool.query('select count(*)::int as n from api_keys')).rows[0].n

t.test('an API key whose record fails is not made; the repeat makes one', async (t) => {
  const app = await openApp(t)
  await failAtRecord(app, `raise exception 'the disk is full'`, 1)
  t.equal((await app.call('POST', '/v1/api-keys', BODY, KEY)).status, 500)
  t.equal(await countKeys(app), 0)
  await endLeases(app)
  t.equal((await app.call('POST', '/v1/api-keys', BODY, KEY)).status, 201)
  t.equal(await countKeys(app), 1)
})

t.test('a connection killed between an API key and its record makes no second key', async (t) => {
  const app = await openApp(t)
  await failAtRecord(app, 'perform pg_terminate_backend(pg_backend_pid())', 1)
  t.equal((await app.call('POST', '/v1/api-keys', BODY, KEY)).status, 201)
  await endLeases(app)
  const again = await app.call('POST', '/v1/api-keys', BODY, KEY)
  t.match(again, { status: 409, body: { code: 'secret_not_replayed' } })
  t.equal(await countKeys(app), 1)
})

t.test('a price taken out is taken out once, and told again after a crash', async (t) => {
  const app = await openApp(t)
  await app.call('PUT', '/v1/prices/p', { cost: 1 })
  await failAtRecord(app, `raise exception 'the disk is full'`, 1)
  t.equal((await app.call('DELETE', '/v1/prices/p', {}, KEY)).status, 500)
  t.equal((await app.call('GET', '/v1/prices/p')).status, 200, 'nothing has happened')
  await endLeases(app)
  const removed = await app.call('DELETE', '/v1/prices/p', {}, KEY)
  t.match(removed, { status: 200, body: { action: 'p' } })
  const again = await app.call('DELETE', '/v1/prices/p', {}, KEY)
  t.match(again, { status: 200, body: removed.body, headers: { 'idempotent-replayed': 'true' } })
})

const openRecords = async (t: TestContext) => {
  const db = await openFresh(t)
  const clock = { ms: Date.UTC(2026, 0, 1) }
  let ids = 0
  const records = createIdempotencyRecords({
    orm: db.orm,
    now: () => clock.ms,
    newId: () => `holder-${ids++}`,
    sleep: async (ms) => {
      clock.ms += ms
    },
    ttlMs: 60_000,
  })
  await db.pool.query('create table effects (n integer)')
  const countEffects = async (): Promise<number> =>
    (await db.pool.query('select count(*)::int as n from effects')).rows[0].n
  return { db, records, clock, countEffects }
}

const CLAIMED = {
  key: '00000000-0000-4000-8000-000000000001',
  digest: '00000000-0000-4000-8000-00000000000a',
}
const ANSWER = { status: 201, body: 'first' }

t.test('a call that comes to its end after it was taken over undoes what it did', async (t) => {
  const { db, records, clock, countEffects } = await openRecords(t)
  const slow = records.once<string>(CLAIMED, (keep) =>
    inTransaction(
      db,
      async (tx) => {
        await tx.execute('insert into effects values (1)')
        clock.ms += CLAIM_LEASE_MS
        await records.once(CLAIMED, async () => ({ status: 201, body: 'second' }))
        await keep(tx, ANSWER)
        return ANSWER
      },
      IN_TIME,
    ),
  )
  await t.rejects(slow, { code: 'outcome_unknown' })
  t.equal(await countEffects(), 0)
  const again = await records.once(CLAIMED, async () => ({ status: 201, body: 'third' }))
  t.match(again, { body: 'second', isReplay: true })
})

t.test('what was committed is told again, although its caller saw it fail', async (t) => {
  const { db, records, countEffects } = await openRecords(t)
  const work = (keep: Parameters<Parameters<typeof records.once<string>>[1]>[0]) =>
    inTransaction(
      db,
      async (tx) => {
        await tx.execute('insert into effects values (1)')
        await keep(tx, ANSWER)
        return ANSWER
      },
      IN_TIME,
    )
  const failing = records.once<string>(CLAIMED, async (keep) => {
    await work(keep)
    throw new Error('the reply of the commit was lost')
  })
  await t.rejects(failing, /was lost/)
  t.match(await records.once(CLAIMED, work), { ...ANSWER, isReplay: true })
  t.equal(await countEffects(), 1)
})

t.test('an answer is given to others when what it says is in force', async (t) => {
  const { records, clock } = await openRecords(t)
  const inForceAfterMs = 250
  await records.once(CLAIMED, async () => ANSWER, { inForceAfterMs })
  const keptMs = clock.ms
  t.match(await records.once(CLAIMED, async () => ANSWER), { isReplay: true })
  t.ok(clock.ms >= keptMs + inForceAfterMs, `waited ${clock.ms - keptMs} ms`)
})
