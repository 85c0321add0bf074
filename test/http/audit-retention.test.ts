import t from 'tap'
import { createAuditRetention } from '../../src/admin/audit-retention.js'
import { openApp } from '../helpers/app.js'
import { openFresh, type TestContext } from '../helpers/database.js'

const NOW_MS = Date.UTC(2026, 5, 1)
const DAY_MS = 86_400_000

/** A log of ten entries, one a day, the last of them of now. */
const setUp = async (t: TestContext) => {
  const db = await openFresh(t)
  await db.pool.query(
    `insert into audit_logs (id, action, status, actor, created_at)
     select 'e' || n, 'charge', 'failed', 'key:k', $1::timestamptz - n * interval '1 day'
       from generate_series(0, 9) n`,
    [new Date(NOW_MS)],
  )
  const left = async (): Promise<string[]> => {
    const { rows } = await db.pool.query('select id from audit_logs order by created_at desc')
    return rows.map(({ id }) => id)
  }
  return { db, left }
}

t.test('entries go when they are older than they are kept, slice by slice', async (t) => {
  const { db, left } = await setUp(t)
  const time = { nowMs: NOW_MS }
  const sliceRows = 2
  const cleanUp = createAuditRetention({
    orm: db.orm,
    now: () => time.nowMs,
    keptDays: 4,
    sliceRows,
  })
  t.equal(await cleanUp(), 5)
  t.same(await left(), ['e0', 'e1', 'e2', 'e3', 'e4'], 'the one of just that age stays')
  t.equal(await cleanUp(), 0, 'safe to repeat')
  time.nowMs += 3 * DAY_MS
  t.equal(await cleanUp(), 3)
  t.same(await left(), ['e0', 'e1'])
})

t.test('told to stop, it begins no further slice', async (t) => {
  const { db, left } = await setUp(t)
  const stop = new AbortController()
  const now = () => {
    stop.abort()
    return NOW_MS
  }
  const cleanUp = createAuditRetention({ orm: db.orm, now, keptDays: 1, sliceRows: 2 })
  t.equal(await cleanUp(stop.signal), 0)
  t.equal((await left()).length, 10)
})

t.test('with 0 days they are kept for ever', async (t) => {
  const { db, left } = await setUp(t)
  const far = () => NOW_MS + 100_000 * DAY_MS
  t.equal(await createAuditRetention({ orm: db.orm, now: far, keptDays: 0 })(), 0)
  t.equal((await left()).length, 10)
})

t.test('the service does it every night, by its setting', async (t) => {
  const { core } = await openApp(t, { environment: { AUDIT_RETENTION_DAYS: '30' } })
  const { pool } = core.db
  await pool.query(
    `insert into audit_logs (id, action, status, actor, created_at)
     select 'e' || days, 'charge', 'failed', 'key:k', now() - days * interval '1 day'
       from unnest(array[29, 31]) days`,
  )
  // a slot that was missed is caught up at the start
  await pool.query(
    `insert into job_runs (name, slot, started_at)
     values ('audit.cleanup', now() - interval '3 days', now())`,
  )
  await core.jobs.start()
  await core.jobs.stop()
  const { rows } = await pool.query('select id from audit_logs')
  t.same(rows, [{ id: 'e29' }])
  const { rows: runs } = await pool.query(
    `select outcome from job_runs where name = 'audit.cleanup' order by slot desc limit 1`,
  )
  t.same(runs, [{ outcome: '1 entries of the audit log deleted' }])
})
