import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { verify } from '../../src/ledger/verify.js'
import { LEASE_MS } from '../../src/purchases/inbox/store.js'
import { openApp, type TestApp } from '../helpers/app.js'
import { type StripeStandIn, startStripe } from '../helpers/stripe-stand-in.js'
import { type SendOptions, type Sent, send } from './inbox-kit.js'
import { createWorld, eventOf, type StripeEvent, type StripeWorld } from './stripe-kit.js'

export const SHOP_SECRET = 'whsec_of_the_shop'

/** pkg_starter. */
export const CREDITS = 100
export const PRICE = 500

export type Bought = { readonly purchaseId: string; readonly sessionId: string }

export type Books = {
  readonly balance: number
  readonly debt: number
  /** The changes of the balance, oldest first, by their types. */
  readonly rows: readonly (readonly [type: string, amount: number])[]
}

export type Shop = TestApp & {
  readonly standIn: StripeStandIn
  readonly world: StripeWorld
  readonly clock: { aheadMs: number }
  /** Opens the account unless it is open, and begins to buy a package for it. */
  buy(accountId: string): Promise<Bought>
  /** As Stripe calls; throws unless it is answered with 200. */
  tell(event: StripeEvent, more?: SendOptions): Promise<Sent>
  /** The events of a checkout as it stands, and of what is told beside it. */
  events(sessionId: string, ...types: string[]): StripeEvent[]
  /** Works until nothing waits; moves the clock where something does. */
  settle(): Promise<void>
  status(purchaseId: string): Promise<string>
  books(accountId: string): Promise<Books>
  /** Events that are dead, with the reason. */
  dead(): Promise<{ type: string; last_error: string }[]>
}

const WIDE = {
  RATE_LIMIT_PAYMENT: '100000/1m',
  RATE_LIMIT_API: '100000/1m',
  RATE_LIMIT_SEARCH: '100000/1m',
}
const MAX_ROUNDS = 2_000

/** The service as it sells through Stripe; ends with books in which nothing is found. */
export const openShop = async (
  t: Test,
  { beside, environment = {} }: { beside?: Shop; environment?: Record<string, string> } = {},
): Promise<Shop> => {
  const standIn = beside?.standIn ?? (await startStripe(t))
  const clock = beside?.clock ?? { aheadMs: 0 }
  const app = await openApp(t, {
    ...(beside && { url: beside.url }),
    clock,
    environment: {
      ...WIDE,
      ENABLE_CREDIT_PURCHASES: 'true',
      STRIPE_SECRET_KEY: standIn.apiKey,
      STRIPE_WEBHOOK_SECRET: SHOP_SECRET,
      STRIPE_API_URL: standIn.url,
      ...environment,
    },
  })
  return { ...app, standIn, clock, world: createWorld(standIn), ...shopOf(app, standIn, clock) }
}

/** What every test of money ends with. */
export const verifyBooks = async (t: Test, shop: Shop): Promise<void> => {
  const { mismatches } = await verify(shop.core.db.reader, null)
  t.same(mismatches, [], 'verify finds nothing')
  t.same((await shop.call('GET', '/v1/reconcile')).body.mismatches, [])
}

const shopOf = (app: TestApp, standIn: StripeStandIn, clock: Shop['clock']) => {
  const { call, core } = app
  const { now } = core
  const must = async (...[method, path, body]: Parameters<TestApp['call']>) => {
    const reply = await call(method, path, body)
    if (reply.status < 300) return reply.body
    throw new Error(`${method} ${path}: ${JSON.stringify(reply.body)}`)
  }
  return {
    async buy(accountId: string): Promise<Bought> {
      await must('PUT', `/v1/accounts/${accountId}`, {})
      const order = { accountId, packageId: 'pkg_starter', provider: 'stripe' }
      const successUrl = 'https://shop.example/done'
      const { purchaseId, checkoutUrl } = await must('POST', '/v1/purchases', {
        ...order,
        successUrl,
      })
      return { purchaseId, sessionId: String(checkoutUrl).split('/').at(-1) ?? '' }
    },
    async tell(event: StripeEvent, more: SendOptions = {}) {
      const timestamp = Math.floor(now() / 1000)
      const sent = await send(app.app, event, { secret: SHOP_SECRET, timestamp, ...more })
      if (sent.status !== 200) throw new Error(`${event.type}: ${JSON.stringify(sent.body)}`)
      return sent
    },
    events(sessionId: string, ...types: string[]) {
      const session = standIn.objects.sessions.get(sessionId)
      const intent = standIn.objects.intents.get(String(session?.payment_intent))
      return types.map((type) => {
        const thing = type.startsWith('payment_intent.') ? intent : session
        if (!thing) throw new Error(`nothing to tell of by ${type}`)
        return eventOf(type, thing)
      })
    },
    settle: () => settle(app, clock, now),
    status: async (purchaseId: string): Promise<string> =>
      (await must('GET', `/v1/purchases/${purchaseId}`)).status,
    async books(accountId: string): Promise<Books> {
      const { balance, debt } = await must('GET', `/v1/accounts/${accountId}/balance`)
      const list = await must('GET', `/v1/accounts/${accountId}/transactions?limit=200`)
      const transactions = list.transactions as { type: string; amount: number }[]
      const rows = transactions.map(({ type, amount }) => [type, amount] as const).reverse()
      return { balance, debt, rows }
    },
    dead: async () =>
      (
        await core.db.pool.query<{ type: string; last_error: string }>(
          `select type, last_error from webhook_inbox where dead_at is not null order by dead_at`,
        )
      ).rows,
  }
}

const settle = async (app: TestApp, clock: Shop['clock'], now: () => number): Promise<void> => {
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    await app.runJob('webhooks.inbox')
    const { rows } = await app.core.db.pool.query<{ next_attempt_at: Date }>(
      `select next_attempt_at from webhook_inbox where processed_at is null and dead_at is null
        order by next_attempt_at limit 1`,
    )
    const [first] = rows
    if (!first) return
    const waitMs = first.next_attempt_at.getTime() - now()
    // about as long as a lease: somebody is at it
    if (Math.abs(waitMs - LEASE_MS) < 20_000) await sleep(5)
    else clock.aheadMs += Math.max(0, waitMs + 1)
  }
  throw new Error('some events wait for ever')
}
