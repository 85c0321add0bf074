import t from 'tap'
import type { Reversal } from '../../src/payment-facts.js'
import { openShop, paidFact, reversalFact, type Shop } from './kit.js'

const refund = (amount: number, id = 're_1', state: Reversal['state'] = 'succeeded'): Reversal => ({
  ...{ id, type: 'refund', amount, state },
})
const dispute = (state: Reversal['state'], amount = 500): Reversal => ({
  ...{ id: 'dp_1', type: 'dispute', amount, state },
})

const APPLIED = { kind: 'applied' } as const

t.test('a purchase that is confirmed 20 times at once grants once', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const { purchaseId } = await shop.buy('ada')
  const confirm = () => shop.call('POST', `/v1/purchases/${purchaseId}/confirm`)
  const replies = await Promise.all(Array.from({ length: 20 }, confirm))
  for (const reply of replies) t.match(reply, { status: 200, body: { status: 'completed' } })
  t.same(await shop.rows('ada'), [['grant', 100]])
  t.same(await shop.told('ada'), ['purchase.completed'])
  await shop.mustBeSound(t)
})

t.test('one payment told 20 times at two instances grants once', async (t) => {
  const shop = await openShop(t)
  const other = await openShop(t, { url: shop.url })
  await shop.open('ada')
  const fact = paidFact(await shop.buy('ada'))
  const instances = [shop.services(), other.services()]
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, n) => instances[n % 2]?.takeFact(fact)),
  )
  t.same(new Set(outcomes.map((outcome) => outcome?.kind)), new Set(['applied']))
  t.same(await shop.rows('ada'), [['grant', 100]])
  await shop.mustBeSound(t)
})

t.test('one payment never completes two purchases, also at once', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const bought = [await shop.buy('ada'), await shop.buy('ada')]
  const { takeFact } = shop.services()
  const outcomes = await Promise.all(
    bought.map((purchase) => takeFact(paidFact(purchase, { paymentId: 'pay_1' }))),
  )
  t.same(outcomes.map(({ kind }) => kind).sort(), ['applied', 'refused'])
  const refused = outcomes.find(({ kind }) => kind === 'refused')
  t.match(refused, { reason: /^payment pay_1 has paid for pur_\w+ already$/ })
  t.same(await shop.rows('ada'), [['grant', 100]])
  await shop.mustBeSound(t)
})

t.test('what contradicts the purchase is refused and grants nothing', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  for (const change of [
    { currency: 'EUR' },
    { subtotal: 1 },
    { quantity: 2 },
    { provider: 'stripe' },
    { amount: -1 },
    { subtotal: 2.5 },
    { paymentId: 'x'.repeat(300) },
    { paymentId: 'a\u0000b' },
  ] as const) {
    const outcome = await takeFact(paidFact(purchase, change))
    t.match(outcome, { kind: 'refused', reason: String }, JSON.stringify(change))
  }
  const unknown = paidFact(purchase, { purchaseId: 'pur_none' })
  t.match(await takeFact(unknown), { kind: 'parked', reason: /no purchase pur_none/ })
  t.match(await takeFact({ ...unknown, state: 'expired' }), { kind: 'ignored' })
  t.match(await takeFact({ ...unknown, purchaseId: null }), { kind: 'ignored' })
  t.match(await shop.purchase(purchase.purchaseId), {
    status: 'processing',
    problem: /^payment_refused: the quantity is 2 and not 1, as it was sold \(pay_\w+\)$/,
  })
  t.same(await shop.rows('ada'), [])
})

t.test('what is told of no money, or at another provider, shows nothing', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  const wrong = paidFact(purchase, { currency: 'EUR' })
  t.match(await takeFact({ ...wrong, state: 'expired', paymentId: null }), { kind: 'refused' })
  t.match(await takeFact({ ...wrong, provider: 'stripe' }), { kind: 'refused' })
  t.match(await shop.purchase(purchase.purchaseId), { status: 'pending', problem: undefined })
  t.same(await takeFact(paidFact(purchase)), APPLIED)
  t.match(await takeFact(wrong), { kind: 'refused' })
  t.match(await shop.purchase(purchase.purchaseId), { status: 'completed', problem: undefined })
})

t.test('processing, failed, expired: shown, and paid comes through all the same', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const { takeFact } = shop.services()
  for (const state of ['processing', 'failed', 'expired'] as const) {
    const purchase = await shop.buy('ada')
    const late = paidFact(purchase, { state, paymentId: null })
    t.same(await takeFact(late), APPLIED)
    t.match(await shop.purchase(purchase.purchaseId), { status: state })
    t.same(await takeFact(paidFact(purchase)), APPLIED)
    t.same(await takeFact(late), APPLIED)
    t.match(await shop.purchase(purchase.purchaseId), { status: 'completed' })
  }
  t.match(await shop.balance('ada'), { balance: 300 })
  t.same((await shop.told('ada')).filter((type) => type === 'purchase.failed').length, 1)
  await shop.mustBeSound(t)
})

t.test('refunds of 30, 30 and 40 per cent take back exactly all', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  await shop.call('PUT', '/v1/packages/odd', {
    ...{ name: 'Odd', credits: 101, price: 1_000, currency: 'USD' },
  })
  const { purchaseId } = await shop.buy('ada', { packageId: 'odd' })
  const path = `/v1/purchases/${purchaseId}`
  await shop.call('POST', `${path}/confirm`)
  const seen: unknown[] = []
  for (const amount of [300, 300, 400]) {
    const { body } = await shop.call('POST', `${path}/refund`, { amount })
    seen.push([body.status, body.refundedAmount, body.creditsClawedBack])
  }
  t.same(seen, [
    ['completed', 300, 31],
    ['completed', 600, 61],
    ['refunded', 1_000, 101],
  ])
  t.match(await shop.balance('ada'), { balance: 0, debt: 0 })
  const told = (await shop.told('ada')).filter((type) => type.startsWith('purchase.'))
  const refunded = 'purchase.refunded'
  t.same(told, ['purchase.completed', refunded, refunded, refunded])
  await shop.mustBeSound(t)
})

t.test('many refunds at once never give back more than was paid', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const { purchaseId } = await shop.buy('ada')
  await shop.call('POST', `/v1/purchases/${purchaseId}/confirm`)
  const ask = () => shop.call('POST', `/v1/purchases/${purchaseId}/refund`, { amount: 60 })
  const replies = await Promise.all(Array.from({ length: 20 }, ask))
  t.equal(replies.filter(({ status }) => status === 200).length, 8, '8 × 60 of 500')
  t.equal(replies.filter(({ status }) => status === 422).length, 12)
  t.match(await shop.purchase(purchaseId), { refundedAmount: 480, creditsClawedBack: 96 })
  t.match(await shop.balance('ada'), { balance: 4 })
  await shop.mustBeSound(t)
})

t.test('a refund under one key is made once, also after a crash', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const { purchaseId } = await shop.buy('ada')
  await shop.call('POST', `/v1/purchases/${purchaseId}/confirm`)
  const caller = { actor: 'key:env', requestId: 'r', keySpace: 'api' as const }
  const ask = (idempotencyKey: string) =>
    shop.services().purchases.refund({ ...caller, idempotencyKey }, purchaseId, { amount: 250 })
  await Promise.all(['a', 'a', 'a', 'b'].map(ask))
  t.match(await ask('b'), { status: 'refunded', refundedAmount: 500 })
  t.match(await ask('a'), { refundedAmount: 500 }, 'though nothing is left')
  t.match(await shop.balance('ada'), { balance: 0, debt: 0 })
  await shop.mustBeSound(t)
})

t.test('a claw-back beyond the balance becomes debt, and the next grant pays it', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const first = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(paidFact(first))
  await shop.call('POST', '/v1/accounts/ada/charges', { amount: 90 })
  await takeFact(reversalFact(first, shop.core.now(), refund(500)))
  t.match(await shop.balance('ada'), { balance: 0, available: 0, debt: 90 })
  await takeFact(paidFact(await shop.buy('ada')))
  t.match(await shop.balance('ada'), { balance: 10, debt: 0 })
  t.ok((await shop.told('ada')).includes('account.in_debt'))
  await shop.mustBeSound(t)
})

t.test('a refund that comes before its purchase is paid leaves nothing', async (t) => {
  for (const named of [true, false]) {
    const shop = await openShop(t)
    await shop.open('ada')
    const purchase = await shop.buy('ada')
    const { takeFact } = shop.services()
    const fact = reversalFact(purchase, shop.core.now(), refund(500))
    const told = await takeFact(named ? fact : { ...fact, purchaseId: null })
    t.match(told, named ? APPLIED : { kind: 'ignored' }, 'noted all the same')
    t.match(await shop.purchase(purchase.purchaseId), { status: 'pending' })
    t.same(await takeFact(paidFact(purchase)), APPLIED)
    t.match(await shop.purchase(purchase.purchaseId), { status: 'refunded', refundedAmount: 500 })
    t.match(await shop.balance('ada'), { balance: 0, debt: 0 })
    await shop.mustBeSound(t)
  }
})

t.test('a part refunded before it is paid is taken back when it is granted', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(reversalFact(purchase, shop.core.now(), refund(100)))
  await takeFact(paidFact(purchase))
  t.same(await shop.rows('ada'), [
    ['grant', 100],
    ['claw_back', -20],
  ])
  t.match(await shop.purchase(purchase.purchaseId), { status: 'completed', refundedAmount: 100 })
  await shop.mustBeSound(t)
})

t.test('payment and refund at once, in any order, leave nothing', async (t) => {
  const shop = await openShop(t)
  const other = await openShop(t, { url: shop.url })
  await shop.open('ada')
  const [one, two] = [shop.services(), other.services()]
  for (let n = 0; n < 15; n += 1) {
    const purchase = await shop.buy('ada')
    const fact = reversalFact(purchase, shop.core.now(), refund(500, `re_${n}`))
    const reversed = n % 2 === 0 ? fact : { ...fact, purchaseId: null }
    await Promise.all([
      ...[one.takeFact(paidFact(purchase)), two.takeFact(reversed)],
      ...[two.takeFact(paidFact(purchase)), one.takeFact(reversed)],
    ])
    t.match(await shop.purchase(purchase.purchaseId), { status: 'refunded' })
  }
  t.match(await shop.balance('ada'), { balance: 0, debt: 0 })
  await shop.mustBeSound(t)
})

t.test('a refund that failed after all gives back what it took, once', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(paidFact(purchase))
  const at = shop.core.now()
  await takeFact(reversalFact(purchase, at, refund(250)))
  t.match(await shop.balance('ada'), { balance: 50 })
  const failed = reversalFact(purchase, at + 1, refund(250, 're_1', 'failed'))
  await Promise.all([failed, failed, failed].map(takeFact))
  t.match(await shop.balance('ada'), { balance: 100 })
  await takeFact(reversalFact(purchase, at, refund(250)))
  t.match(await shop.balance('ada'), { balance: 100 }, 'an older reading changes nothing')
  t.match(await shop.purchase(purchase.purchaseId), {
    ...{ status: 'completed', refundedAmount: 0, creditsClawedBack: 0 },
  })
  await shop.mustBeSound(t)
})

t.test('a dispute takes the credits; won, they come back once', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(paidFact(purchase))
  await shop.call('POST', '/v1/accounts/ada/charges', { amount: 30 })
  const at = shop.core.now()
  const steps = [
    ['inquiry', 'completed', 70, 0],
    ['open', 'disputed', 70, 0],
    ['withdrawn', 'disputed', 0, 30],
    ['won', 'completed', 70, 0],
  ] as const
  for (const [n, [state, status, balance, debt]] of steps.entries()) {
    const fact = reversalFact(purchase, at + n, dispute(state))
    await Promise.all([takeFact(fact), takeFact(fact)])
    t.match(await shop.purchase(purchase.purchaseId), { status }, state)
    t.match(await shop.balance('ada'), { balance, debt }, state)
  }
  for (const [n, [state]] of steps.entries()) {
    await takeFact(reversalFact(purchase, at + n, dispute(state)))
  }
  t.match(await shop.balance('ada'), { balance: 70, debt: 0 }, 'told again: nothing more')
  const told = await shop.told('ada')
  t.equal(told.filter((type) => type === 'purchase.disputed').length, 1)
  await shop.mustBeSound(t)
})

t.test('closed before created, and lost: what counts is the latest reading', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(paidFact(purchase))
  const at = shop.core.now()
  await takeFact(reversalFact(purchase, at + 5, dispute('closed')))
  await takeFact(reversalFact(purchase, at, dispute('withdrawn')))
  t.match(await shop.purchase(purchase.purchaseId), { status: 'completed' })
  t.match(await shop.balance('ada'), { balance: 100 })
  await takeFact(reversalFact(purchase, at + 6, refund(200), dispute('lost')))
  t.match(await shop.purchase(purchase.purchaseId), {
    ...{ status: 'disputed', refundedAmount: 200, creditsClawedBack: 100 },
  })
  t.match(await shop.balance('ada'), { balance: 0, debt: 0 }, 'never more than was paid')
  await shop.mustBeSound(t)
})

t.test('held credits are not taken back: what is missing is owed', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(paidFact(purchase))
  await shop.call('POST', '/v1/accounts/ada/holds', { amount: 40, ttlSeconds: 60 })
  await takeFact(reversalFact(purchase, shop.core.now(), refund(500)))
  t.match(await shop.balance('ada'), { balance: 40, held: 40, debt: 40 })
  await shop.mustBeSound(t)
})

t.test('a reversal of another payment, or in another currency, moves nothing', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(paidFact(purchase))
  const fact = reversalFact(purchase, shop.core.now(), refund(500))
  const second = { ...fact, paymentId: 'pay_second' }
  t.match(await takeFact(second), { kind: 'ignored', reason: /was paid by/ })
  t.match(await takeFact({ ...fact, currency: 'EUR' }), { kind: 'refused' })
  t.match(await takeFact({ ...fact, paidAmount: -1 }), { kind: 'refused' })
  const none = { ...fact, purchaseId: 'pur_none', paymentId: 'pay_none' }
  t.match(await takeFact({ ...none, reversals: [] }), { kind: 'parked' })
  t.match(await shop.balance('ada'), { balance: 100 })
  t.match(await shop.purchase(purchase.purchaseId), { status: 'completed' })
  await shop.mustBeSound(t)
})

const statusOf = async ({ call }: Shop, accountId: string): Promise<string> =>
  (await call('GET', `/v1/accounts/${accountId}`)).body.status

t.test('a dispute freezes the account when that is set, and won unfreezes it', async (t) => {
  const environment = { DISPUTE_FREEZES_ACCOUNT: 'true' }
  const shop = await openShop(t, { environment })
  const { takeFact } = shop.services()
  for (const id of ['ada', 'bob']) await shop.open(id)
  const [one, two] = [await shop.buy('ada'), await shop.buy('ada')]
  await takeFact(paidFact(one))
  await takeFact(paidFact(two))
  const at = shop.core.now()
  const told = (purchase: object, n: number, state: Reversal['state'], id: string) =>
    takeFact(reversalFact(purchase, at + n, { ...dispute(state), id }))
  await told(one, 0, 'inquiry', 'dp_1')
  t.equal(await statusOf(shop, 'ada'), 'active', 'an inquiry is no dispute')
  await told(one, 1, 'open', 'dp_1')
  t.equal(await statusOf(shop, 'ada'), 'frozen')
  await told(two, 2, 'withdrawn', 'dp_2')
  await told(one, 3, 'won', 'dp_1')
  t.equal(await statusOf(shop, 'ada'), 'frozen', 'the other dispute goes on')
  await told(two, 4, 'closed', 'dp_2')
  t.equal(await statusOf(shop, 'ada'), 'active')
  const third = await shop.buy('bob')
  await takeFact(paidFact(third))
  await shop.call('POST', '/v1/accounts/bob/freeze', { reason: 'by hand' })
  await told(third, 5, 'open', 'dp_3')
  await told(third, 6, 'won', 'dp_3')
  t.equal(await statusOf(shop, 'bob'), 'frozen', 'what others froze stays frozen')
  await shop.mustBeSound(t)
})

t.test('without that setting a dispute freezes nobody', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  const { takeFact } = shop.services()
  await takeFact(paidFact(purchase))
  await takeFact(reversalFact(purchase, shop.core.now(), dispute('open')))
  t.equal(await statusOf(shop, 'ada'), 'active')
})
