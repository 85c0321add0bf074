import t from 'tap'
import type { Json } from '../helpers/creem-shapes.js'
import { type Kit, openKit, PLAN, reversalsIn } from './creem-kit.js'

const DAY_MS = 24 * 3_600_000

const factsSince = async ({ provider }: Kit, sinceMs: number): Promise<Json[]> => {
  const facts: Json[] = []
  for await (const page of provider.list(sinceMs)) facts.push(...page)
  return facts
}

const age = (creem: Kit['creem'], paymentId: string, days: number): void => {
  const transaction = creem.transactions.get(paymentId)
  if (transaction) transaction.created_at = Date.now() - days * DAY_MS
}

t.test('all that went back is listed, however old its payment is', async (t) => {
  const kit = await openKit(t)
  const { creem, begin } = kit
  const payments: string[] = []
  for (let count = 0; count < 4; count++) {
    payments.push(creem.pay(await begin()).object.order.transaction)
  }
  const [kept, part, whole, disputed] = payments.map(String)
  creem.refundPayment(String(part), 100)
  creem.refundPayment(String(whole))
  creem.dispute(String(disputed))
  for (const id of payments) age(creem, id, 170)
  const facts = await factsSince(kit, Date.now() - DAY_MS)
  t.notOk(facts.some(({ paymentId }) => paymentId === kept))
  t.strictSame(reversalsIn(facts.filter(({ paymentId }) => paymentId === part)), [
    { type: 'refund', amount: 100, state: 'succeeded' },
  ])
  t.match(reversalsIn(facts.filter(({ paymentId }) => paymentId === whole)), [
    { type: 'refund', amount: 1210 },
  ])
  t.match(reversalsIn(facts.filter(({ paymentId }) => paymentId === disputed)), [
    { type: 'dispute', amount: 1210, state: 'withdrawn' },
    { amount: 0 },
  ])
})

t.test('the list and the events tell one thing under one id', async (t) => {
  const kit = await openKit(t)
  const { creem, begin, factsOf } = kit
  const paymentId = creem.pay(await begin()).object.order.transaction
  const event = creem.refundPayment(paymentId, 100)
  const [told] = await factsOf(event)
  const [listed] = await factsSince(kit, 0)
  t.strictSame(listed?.reversals, told?.reversals)
})

t.test('the periods paid since are listed as their events tell them', async (t) => {
  const kit = await openKit(t)
  const { creem, begin, factsOf } = kit
  const [, , first] = creem.subscribe(await begin({ priceId: PLAN }))
  const id = String([...creem.subscriptions.keys()][0])
  const second = creem.renew(id)
  const told = [...(await factsOf(first ?? {})), ...(await factsOf(second))]
  const paidIn = (facts: readonly Json[]) =>
    facts
      .filter(({ kind }) => kind === 'subscription_paid')
      .sort((a, b) => a.periodStartMs - b.periodStartMs)
  const listed = await factsSince(kit, Date.now() - DAY_MS)
  t.strictSame(paidIn(listed), paidIn(told))
  t.equal(paidIn(listed).length, 2)
  t.match(
    listed.filter(({ kind }) => kind === 'subscription'),
    [{ subscriptionId: id, accountId: 'alice', status: 'active' }],
  )
  age(creem, String(first?.object.last_transaction_id), 3)
  t.equal(paidIn(await factsSince(kit, Date.now() - DAY_MS)).length, 1, 'only since then')
  creem.refundPayment(second.object.last_transaction_id)
  t.equal(paidIn(await factsSince(kit, Date.now() - DAY_MS)).length, 0, 'nor what went back')
})

t.test('a subscription that is not listed is asked for', async (t) => {
  const kit = await openKit(t)
  const { creem, begin } = kit
  creem.subscribe(await begin({ priceId: PLAN }))
  const [id, subscription] = [...creem.subscriptions][0] ?? []
  Object.assign(subscription ?? {}, { unlisted: true })
  t.match(await factsSince(kit, 0), [{ kind: 'subscription_paid', subscriptionId: id }])
  creem.subscriptions.clear()
  t.strictSame(await factsSince(kit, 0), [], 'without one there is nobody to pay for')
})

t.test('every page is read, and no more than is of interest', async (t) => {
  const kit = await openKit(t)
  const { creem, begin } = kit
  const { transaction } = creem.pay(await begin()).object.order
  const sample = creem.transactions.get(transaction)
  creem.transactions.clear()
  for (let index = 0; index < 350; index++) {
    const id = `tran_${index}`
    const aged = { created_at: Date.now() - index * DAY_MS, refunded_amount: 10 }
    creem.transactions.set(id, { ...sample, ...aged, id })
  }
  const pagesRead = () =>
    creem.calls.filter(({ path }) => path === 'GET /v1/transactions/search').length
  t.equal((await factsSince(kit, Date.now() - DAY_MS)).length, 300)
  t.equal(pagesRead(), 3, 'the third is all older than half a year, the fourth not read')
  const oldestFirst = [...creem.transactions].reverse()
  creem.transactions.clear()
  for (const [id, value] of oldestFirst) creem.transactions.set(id, value)
  t.equal((await factsSince(kit, Date.now() - DAY_MS)).length, 350, 'in another order: all of them')
})

t.test('a list that breaks off says so', async (t) => {
  const kit = await openKit(t)
  kit.creem.fault = 500
  await t.rejects(factsSince(kit, 0), { code: 'provider_unavailable' })
})
