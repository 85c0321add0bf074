import t, { type Test } from 'tap'
import { startStripe } from '../helpers/stripe-stand-in.js'
import { openShop, paidFact, reversalFact, type Shop } from './kit.js'

const HOUR_MS = 3_600_000

/** A process that dies at its n-th write, just before it or just after, and does no more. */
const dyingAt = ({ core }: Shop, n: number, when: 'before' | 'after') => {
  let writes = 0
  const live = async <T>(act: () => Promise<T>): Promise<T> => {
    writes += 1
    if (writes > n || (writes === n && when === 'before')) throw new Error('died')
    const done = await act()
    if (writes === n) throw new Error('died')
    return done
  }
  const { pool } = core.db
  const dying = new Proxy(pool, {
    get(target, name) {
      if (name !== 'connect') {
        const value = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      }
      return async () => {
        const client = await target.connect()
        return new Proxy(client, {
          get(one, key) {
            if (key !== 'query') {
              const value = Reflect.get(one, key)
              return typeof value === 'function' ? value.bind(one) : value
            }
            // a transaction counts where it is committed: until then it has not been
            return (...asked: unknown[]) => {
              const run = () => (one.query as (...a: unknown[]) => Promise<unknown>)(...asked)
              return asked[0] === 'commit' ? live(run) : run()
            }
          },
        })
      }
    },
  })
  return {
    change: {
      db: { ...core.db, pool: dying },
      ledger: {
        ...core.ledger,
        submit: (operation: Parameters<typeof core.ledger.submit>[0]) =>
          live(() => core.ledger.submit(operation)),
      },
    },
    hasDied: () => writes >= n,
  }
}

/** Counts the writes of a flow, by letting it die at each of them in turn. */
const dieEverywhere = async (
  t: Test,
  flow: (services: ReturnType<Shop['services']>, shop: Shop, accountId: string) => Promise<unknown>,
  check: (shop: Shop, accountId: string) => Promise<void>,
) => {
  const shop = await openShop(t)
  let deaths = 0
  for (const when of ['before', 'after'] as const) {
    for (let n = 1; n < 40; n += 1) {
      const accountId = `${when}-${n}`
      await shop.open(accountId)
      const { change, hasDied } = dyingAt(shop, n, when)
      await flow(shop.services(change), shop, accountId).catch((error: Error) => {
        t.equal(error.message, 'died')
      })
      if (!hasDied()) break
      deaths += 1
      // two instances come round to it at the same time
      const [one, other] = [shop.services(), shop.services()]
      await Promise.all([one.runJob(), other.runJob()])
      await check(shop, accountId)
    }
  }
  await shop.mustBeSound(t)
  return deaths
}

t.test('a crash anywhere after a payment was told leaves one grant, by the job', async (t) => {
  const deaths = await dieEverywhere(
    t,
    async ({ takeFact }, shop, accountId) => takeFact(paidFact(await shop.buy(accountId))),
    async (shop, accountId) => {
      const { purchases } = (await shop.call('GET', `/v1/accounts/${accountId}/purchases`)).body
      const isTold = purchases[0].status !== 'pending'
      t.same(await shop.rows(accountId), isTold ? [['grant', 100]] : [], accountId)
      if (isTold) t.match(purchases[0], { status: 'completed', paymentIntentId: String })
    },
  )
  t.ok(deaths >= 8, `${deaths} crashes`)
})

t.test('a crash anywhere in a refund leaves one claw-back, by the job', async (t) => {
  const deaths = await dieEverywhere(
    t,
    async ({ takeFact }, shop, accountId) => {
      const purchase = await shop.buy(accountId)
      await shop.services().takeFact(paidFact(purchase))
      const half = {
        id: `re_${accountId}`,
        type: 'refund',
        amount: 250,
        state: 'succeeded',
      } as const
      return takeFact(reversalFact(purchase, shop.core.now(), half))
    },
    async (shop, accountId) => {
      const { purchases } = (await shop.call('GET', `/v1/accounts/${accountId}/purchases`)).body
      const isTold = purchases[0].refundedAmount > 0
      const rows = isTold ? [['claw_back', -50]] : []
      t.same(await shop.rows(accountId), [['grant', 100], ...rows], accountId)
      t.match(purchases[0], { status: 'completed', creditsClawedBack: isTold ? 50 : 0 })
    },
  )
  t.ok(deaths >= 8, `${deaths} crashes`)
})

t.test('credits for a closed account are not lost from sight, nor granted', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const purchase = await shop.buy('ada')
  await shop.call('DELETE', '/v1/accounts/ada')
  const refused = await shop.call('POST', `/v1/purchases/${purchase.purchaseId}/confirm`)
  t.match(refused, { status: 409, body: { code: 'account_closed' } })
  t.match(await shop.purchase(purchase.purchaseId), { status: 'pending' }, 'nobody paid yet')
  const { takeFact } = shop.services()
  const told = await takeFact(paidFact(purchase))
  t.match(told, { kind: 'refused', reason: /^account_closed: / })
  t.match(await shop.purchase(purchase.purchaseId), {
    ...{ status: 'processing', paymentIntentId: String, problem: /^account_closed: / },
  })
  shop.clock.aheadMs += HOUR_MS
  t.match(await shop.runJob('purchases.finish'), '1 purchases looked at', 'it is tried again')
  t.match(await shop.purchase(purchase.purchaseId), { status: 'processing', problem: String })
  const back = await shop.call('POST', `/v1/purchases/${purchase.purchaseId}/refund`)
  t.match(back, { status: 200, body: { status: 'refunded', creditsClawedBack: 0 } })
  t.notOk(back.body.problem, 'and the money given back ends it')
  t.same(await shop.rows('ada'), [])
  await shop.mustBeSound(t)
})

t.test('a claw-back from a closed account is told, and the refund stands', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const { purchaseId } = await shop.buy('ada')
  const path = `/v1/purchases/${purchaseId}`
  await shop.call('POST', `${path}/confirm`)
  await shop.call('DELETE', '/v1/accounts/ada')
  t.equal((await shop.call('POST', `${path}/refund`)).status, 409)
  t.match(await shop.purchase(purchaseId), {
    ...{ status: 'refunded', refundedAmount: 500, creditsClawedBack: 0 },
    problem: /^account_closed: /,
  })
})

/** A shop with Stripe, a purchase there, and what Stripe knows of it. */
const openStripeShop = async (t: Test) => {
  const stripe = await startStripe(t)
  const shop = await openShop(t, {
    environment: { STRIPE_SECRET_KEY: stripe.apiKey, STRIPE_API_URL: stripe.url },
  })
  await shop.open('ada')
  const purchase = await shop.buy('ada', { successUrl: 'https://x.test/done' })
  const [session] = [...stripe.objects.sessions.values()]
  if (!session) throw new Error('Stripe has no session')
  return { stripe, shop, purchase, session }
}

t.test('a checkout that nothing was heard of is asked for after two days', async (t) => {
  const { stripe, shop, purchase, session } = await openStripeShop(t)
  shop.clock.aheadMs = 47 * HOUR_MS
  const before = stripe.requests.length
  await shop.runJob('purchases.finish')
  t.equal(stripe.requests.length, before, 'not yet')
  shop.clock.aheadMs = 49 * HOUR_MS
  await shop.runJob('purchases.finish')
  t.ok(stripe.requests.length > before)
  t.match(await shop.purchase(purchase.purchaseId), { status: 'pending' }, 'still open there')
  const asked = stripe.requests.length
  await shop.runJob('purchases.finish')
  t.equal(stripe.requests.length, asked, 'and not every minute')
  session.status = 'expired'
  shop.clock.aheadMs = 74 * HOUR_MS
  await shop.runJob('purchases.finish')
  t.match(await shop.purchase(purchase.purchaseId), { status: 'expired' })
  shop.clock.aheadMs = 200 * HOUR_MS
  t.match(await shop.runJob('purchases.finish'), '0 purchases looked at')
})

t.test('a provider that is away does not stop the job, and is asked again', async (t) => {
  const { stripe, shop, purchase, session } = await openStripeShop(t)
  shop.clock.aheadMs = 49 * HOUR_MS
  stripe.fail({ status: 500 })
  await shop.runJob('purchases.finish')
  t.match(await shop.purchase(purchase.purchaseId), { status: 'pending' })
  stripe.fail(null)
  session.status = 'expired'
  shop.clock.aheadMs += 2 * 60_000
  await shop.runJob('purchases.finish')
  t.match(await shop.purchase(purchase.purchaseId), { status: 'expired' })
})

t.test('a purchase whose checkout was never made expires', async (t) => {
  const { stripe, shop } = await openStripeShop(t)
  stripe.fail('reset')
  const body = { accountId: 'ada', packageId: 'pkg_value', successUrl: 'https://x.test/done' }
  t.equal((await shop.call('POST', '/v1/purchases', body)).status, 503)
  stripe.fail(null)
  shop.clock.aheadMs = 49 * HOUR_MS
  await shop.runJob('purchases.finish')
  const { purchases } = (await shop.call('GET', '/v1/accounts/ada/purchases')).body
  const seen = purchases.map(({ packageId, status }: Record<string, string>) => [packageId, status])
  t.same(seen, [
    ['pkg_value', 'expired'],
    ['pkg_starter', 'pending'],
  ])
})

t.test('confirm asks Stripe and believes it alone', async (t) => {
  const { stripe, shop, purchase, session } = await openStripeShop(t)
  const confirm = (body = {}) =>
    shop.call('POST', `/v1/purchases/${purchase.purchaseId}/confirm`, body)
  t.match(await confirm({ paymentIntentId: 'pi_mine' }), {
    status: 200,
    body: { status: 'pending' },
  })
  t.same(await shop.rows('ada'), [], 'what the caller says grants nothing')
  stripe.fail({ status: 500 })
  t.match(await confirm(), { status: 503, body: { code: 'provider_unavailable' } })
  stripe.fail(null)
  session.status = 'expired'
  t.match(await confirm(), { status: 200, body: { status: 'expired' } })
})
