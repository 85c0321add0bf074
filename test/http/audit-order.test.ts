import { randomUUID } from 'node:crypto'
import t from 'tap'
import { type AuditReader, createAuditReader } from '../../src/admin/audit-reader.js'
import { createStamps } from '../../src/admin/audit-stamp.js'
import { createAuditWriter } from '../../src/admin/audit-writer.js'
import type { AuditView } from '../../src/admin/schema.js'
import type { AuditEntry } from '../../src/http/audit.js'
import { openApp, type TestApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'

const AT_MS = Date.UTC(2026, 5, 1)
const UUID_7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

t.test('of two entries the later one has the greater time and id', async (t) => {
  const clock = { nowMs: AT_MS }
  const stamp = createStamps({ newId: randomUUID, now: () => clock.nowMs })
  const stamps = Array.from({ length: 10_000 }, (_, index) => {
    // corrected back and forth, and standing still for longer than ids can count
    if (index === 20 || index === 30) clock.nowMs -= 1
    if (index === 40) clock.nowMs += 5
    return stamp()
  })
  const ids = stamps.map(({ id }) => id)
  t.same(ids, ids.toSorted())
  t.equal(new Set(ids).size, ids.length)
  t.same(
    ids.filter((id) => !UUID_7.test(id)),
    [],
  )
  const times = stamps.map(({ atMs }) => atMs)
  t.same(
    times,
    times.toSorted((a, b) => a - b),
  )
  t.equal(times[0], AT_MS)
  t.ok((times.at(-1) ?? 0) < AT_MS + 10, 'and stays near the clock')
})

t.test('a clock that was set is followed', async (t) => {
  const clock = { nowMs: AT_MS }
  const stamp = createStamps({ newId: randomUUID, now: () => clock.nowMs })
  t.equal(stamp().atMs, AT_MS)
  clock.nowMs -= 60_000
  t.equal(stamp().atMs, AT_MS - 60_000)
})

const entry = (action: string): AuditEntry => ({
  accountId: 'a',
  action,
  status: 'failed',
  actor: 'key:k',
  requestId: 'r',
  errorCode: 'forbidden',
  errorMessage: null,
  metadata: null,
})

/** Two accounts with three rows each, and six entries of the log, all of one millisecond. */
async function sameMillisecond(t: TestContext): Promise<TestApp> {
  const service = await openApp(t)
  const { db } = service.core
  for (const accountId of ['a', 'b']) {
    await service.open(accountId, 100)
    for (const amount of [1, 2]) {
      await service.call('POST', `/v1/accounts/${accountId}/charges`, { amount })
    }
  }
  // whoever reads the log writes what waits for it
  await service.call('GET', '/v1/audit-log')
  await db.pool.query('delete from audit_logs')
  const client = await db.pool.connect()
  // past the trigger that keeps rows as they were written
  await client.query('set session_replication_role = replica')
  await client.query('update transactions set created_at = $1', [new Date(AT_MS)])
  client.release(true)
  const writer = createAuditWriter({
    orm: db.orm,
    newId: randomUUID,
    now: () => AT_MS,
    onTrouble: () => {},
  })
  for (let n = 0; n < 6; n++) writer.record(entry(`act ${n}`))
  await writer.flush()
  return service
}

const readerOf = ({ core }: TestApp, nowMs: number): AuditReader =>
  createAuditReader({ orm: core.db.orm, now: () => nowMs, flush: async () => {} })

const nameOf = ({ accountId, action, metadata }: AuditView): string =>
  action.startsWith('act') ? action : `${accountId} ${metadata?.seq}`

t.test('entries of one millisecond have one order, on one page as on many', async (t) => {
  const service = await sameMillisecond(t)
  const reader = readerOf(service, AT_MS)
  const acts = ['act 5', 'act 4', 'act 3', 'act 2', 'act 1', 'act 0']
  const from = new Date(AT_MS).toISOString()
  const all = (await reader.list({ from, limit: 100 })).items
  t.same(all.map(nameOf), ['b 3', 'b 2', 'b 1', 'a 3', 'a 2', 'a 1', ...acts])
  const own = (await reader.list({ accountId: 'a', from, limit: 100 })).items
  t.same(own.map(nameOf), ['a 3', 'a 2', 'a 1', ...acts])
  for (const [scope, expected] of [[{}, all] as const, [{ accountId: 'a' }, own] as const]) {
    for (const limit of [1, 2, 5]) {
      const paged: AuditView[] = []
      let cursor: string | undefined
      for (let page = 0; page < 20; page++) {
        const { items, nextCursor } = await reader.list({ ...scope, from, cursor, limit })
        paged.push(...items)
        if (nextCursor === null) break
        cursor = nextCursor
      }
      t.same(paged.map(nameOf), expected.map(nameOf), `pages of ${limit}`)
    }
  }
})

t.test('the newest are listed although the clock here is behind, or the end far off', async (t) => {
  const service = await sameMillisecond(t)
  for (const [nowMs, to] of [
    [AT_MS - 900, undefined],
    [AT_MS, '9999-12-31T23:59:59Z'],
  ] as const) {
    for (const accountId of [undefined, 'a', 'b']) {
      const { items } = await readerOf(service, nowMs).list({ accountId, to, limit: 1 })
      t.equal(items[0]?.createdAt, new Date(AT_MS).toISOString())
      t.match(items[0]?.id, /^txn_/, 'a row')
    }
  }
})
