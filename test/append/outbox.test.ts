import { inTransaction } from '../../src/db/transaction.js'
import type { Operation } from '../../src/ledger/model.js'
import { enqueueEvents, type OutboxEvent } from '../../src/ledger/outbox.js'
import { appendParameters } from '../../src/ledger/wire.js'
import {
  charge,
  decided,
  type Ground,
  grant,
  keyOf,
  open,
  requestOf,
  told,
  withGround,
} from './kit.js'

const announced = (operation: Operation, data = {}): Operation => ({
  ...operation,
  announce: { type: 'test.done', data },
})

async function eventsOf({ pool }: Ground) {
  const { rows } = await pool.query<{ id: string }>(
    `select account_id as "accountId", id, type, data, position, account_seq as "accountSeq",
            to_ms(created_at) as "createdAtMs"
       from events order by created_at, (data ->> 'seq')::bigint, id`,
  )
  return rows
}

withGround('what is announced is there once, with its row, or not at all', async (t, ground) => {
  const services = [await ground.open(), await ground.open()] as const
  const [{ ledger }] = services
  await ledger.submit(open('a'))
  const bought = announced(grant('a', 100, keyOf('bought')), { text: 'a "quoted"\\ \n {x}, ü' })
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => services[(i % 2) as 0 | 1].ledger.submit(bought)),
  )
  t.equal(await told(ledger.submit(announced(charge('a', 101)))), 'insufficient_credits')
  const { row } = await ledger.submit(bought)
  t.same(await eventsOf(ground), [
    {
      ...{ accountId: 'a', id: '1:test.done', type: 'test.done' },
      data: { text: 'a "quoted"\\ \n {x}, ü', accountId: 'a', seq: 1 },
      ...{ position: null, accountSeq: null, createdAtMs: row?.createdAtMs },
    },
  ])
})

withGround('low balances are told by the threshold of the process', async (t, ground) => {
  const { ledger } = await ground.open({ told: { lowBalanceCredits: 10 } })
  await ledger.submit(open('a', 20))
  await Promise.all(Array.from({ length: 20 }, () => ledger.submit(charge('a', 1))))
  const events = await eventsOf(ground)
  t.same(
    events.map(({ id }) => id),
    ['12:balance.low'],
  )
  t.match(events[0], { data: { available: 9, balance: 9, threshold: 10, seq: 12 } })
})

withGround('what moves no credits is put there by its own transaction, once', async (t, ground) => {
  const event: OutboxEvent = {
    ...{ accountId: 'nobody yet', id: 'purchase:p1:failed', type: 'purchase.failed' },
    ...{ data: { purchaseId: 'p1', note: "it's ü" }, createdAtMs: 1_700_000_000_123 },
  }
  const put = (events: readonly OutboxEvent[]) =>
    inTransaction(ground, (tx) => enqueueEvents(tx, events), { deadlineMs: 5000 })
  await put([])
  await put([event, { ...event, id: 'other' }])
  await put([{ ...event, data: { purchaseId: 'changed' } }])
  const failing = inTransaction(
    ground,
    async (tx) => {
      await enqueueEvents(tx, [{ ...event, id: 'lost' }])
      throw new Error('no')
    },
    { deadlineMs: 100 },
  )
  await t.rejects(failing)
  const events = await eventsOf(ground)
  t.same(events.map(({ id }) => id).sort(), ['other', 'purchase:p1:failed'])
  t.match(events[0], { createdAtMs: 1_700_000_000_123 })
  t.match(events.at(-1), { data: { purchaseId: 'p1', accountId: 'nobody yet', note: "it's ü" } })
})

withGround('an instance of the release before still appends', async (t, ground) => {
  const { port, pool } = ground
  await port.append(await decided(port, open('a', 10)))
  const append = async (operation: Operation) => {
    const values = appendParameters(await decided(port, operation)).slice(0, 12)
    const text = `select * from ledger_append(${values.map((_, i) => `$${i + 1}`).join(', ')})`
    return (await pool.query({ text, values, name: 'as before' })).rows[0]
  }
  t.match(await append(charge('a', 3)), { status: 'ok', refused: [], reasons: [] })
  t.match(await append({ ...requestOf('a'), kind: 'freeze' }), { status: 'ok', refused: [] })
  const { rows } = await pool.query(`select balance, status from accounts`)
  t.same(rows, [{ balance: 7, status: 'frozen' }])
})
