import t from 'tap'
import { openShop } from './kit.js'

t.test('a package is bought by hand: confirmed, granted, spent, refunded in part', async (t) => {
  const shop = await openShop(t)
  const { call, open, buy } = shop
  await open('ada')
  const begun = await buy('ada')
  t.match(begun, {
    purchaseId: /^pur_[0-9a-f]{32}$/,
    accountId: 'ada',
    packageId: 'pkg_starter',
    provider: 'manual',
    status: 'pending',
    credits: 100,
    amount: 500,
    currency: 'USD',
    refundedAmount: 0,
  })
  t.same((await shop.rows('ada')).length, 0, 'nothing is granted before it is paid')
  const path = `/v1/purchases/${begun.purchaseId}`
  const paid = { paymentIntentId: 'bank-1' }
  const confirmed = await call('POST', `${path}/confirm`, paid)
  t.match(confirmed, {
    status: 200,
    body: { status: 'completed', paymentIntentId: 'bank-1', grantId: String, completedAt: String },
  })
  t.match(await shop.balance('ada'), { balance: 100, buckets: { purchased: 100 } })
  t.same((await call('POST', `${path}/confirm`, paid)).body, confirmed.body, 'again: as it is')
  t.same((await call('POST', `${path}/confirm`)).body, confirmed.body)
  await call('POST', '/v1/accounts/ada/charges', { amount: 80 })
  const refunded = await call('POST', `${path}/refund`, { amount: 250, reason: 'half' })
  t.match(refunded, {
    status: 200,
    body: { status: 'completed', refundedAmount: 250, creditsClawedBack: 50 },
  })
  t.match(await shop.balance('ada'), { balance: 0, debt: 30 }, 'what was spent is owed')
  await call('POST', '/v1/accounts/ada/grants', { amount: 50 })
  t.match(await shop.balance('ada'), { balance: 20, debt: 0 }, 'and paid first')
  t.same(await shop.rows('ada'), [
    ['grant', 100],
    ['charge', -80],
    ['claw_back', -20],
    ['grant', 50],
    ['debt_payment', -30],
  ])
  t.match(await shop.purchase(begun.purchaseId), refunded.body)
  t.match(await shop.told('ada'), ['purchase.completed'])
  await shop.mustBeSound(t)
})
