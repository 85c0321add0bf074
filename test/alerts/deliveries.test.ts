import t from 'tap'
import {
  createDeliveries,
  createLocalDeliveries,
  type Deliveries,
  enqueue,
  pauseAfter,
} from '../../src/alerts/deliveries.js'
import type { Notice } from '../../src/alerts/notice.js'
import { inTransaction } from '../../src/db/transaction.js'
import { openFresh, type TestContext } from '../helpers/database.js'

type Ground = Deliveries & { add(notices: readonly Notice[], nowMs: number): unknown }

const GROUNDS: Readonly<Record<string, (t: TestContext) => Promise<Ground>>> = {
  'this process': async () => createLocalDeliveries(),
  'the database': async (t) => {
    const db = await openFresh(t)
    const add = (notices: readonly Notice[], nowMs: number) =>
      inTransaction(db, (tx) => enqueue(tx, notices, nowMs), { deadlineMs: 5_000 })
    return { ...createDeliveries(db.orm), add }
  },
}
/** More than one run sends. */
const MANY = 45
const RUN = 20

const noticeOf = (n: number): Notice =>
  ({
    id: `n${n}`,
    name: `alert_${n}`,
    status: 'firing',
    at: new Date(1_000_000 + n).toISOString(),
  }) as unknown as Notice

for (const [name, open] of Object.entries(GROUNDS)) {
  t.test(`in ${name}, only what a run takes has been tried`, async (t) => {
    const { add, take, done } = await open(t)
    const nowMs = Date.parse('2026-11-21T09:00:00Z')
    await add(
      Array.from({ length: MANY }, (_, n) => noticeOf(n)),
      nowMs,
    )
    const runs = [await take(nowMs), await take(nowMs), await take(nowMs), await take(nowMs)]
    t.same(
      runs.map(({ length }) => length),
      [RUN, RUN, MANY - 2 * RUN, 0],
    )
    const all = runs.flat()
    t.ok(all.every(({ attempts }) => attempts === 1))
    t.equal(new Set(all.map(({ notice }) => notice.id)).size, MANY, 'each of them once')
    await done(noticeOf(0))
    t.same(await take(nowMs + pauseAfter(1) - 1), [], 'none before its pause is over')
    const again = await take(nowMs + pauseAfter(1))
    t.equal(again.length, RUN)
    t.ok(again.every(({ notice, attempts }) => attempts === 2 && notice.id !== 'n0'))
  })
}
