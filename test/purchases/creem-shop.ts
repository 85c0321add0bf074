import type { Reply } from '../helpers/app.js'
import type { CreemEvent, Json } from '../helpers/creem-shapes.js'
import {
  CREEM_KEY,
  CREEM_SECRET,
  type CreemStandIn,
  startCreem,
} from '../helpers/creem-stand-in.js'
import type { TestContext } from '../helpers/database.js'
import { openShop, type Shop } from './kit.js'

export const PRODUCT = 'prod_starter'
export const PLAN = 'prod_monthly'
export const BETTER_PLAN = 'prod_monthly_better'
/** With 21 % of tax on top of 5.00 USD. */
export const PAID = 605
export const CREDITS = 100

const PRODUCTS = [
  { id: PRODUCT, price: 500 },
  { id: PLAN, price: 1_500, recurring: true },
  { id: BETTER_PLAN, price: 4_500, recurring: true },
]

const DEADLINE_MS = 20_000
const PAUSE_MS = 20

export type CreemShop = Shop & {
  readonly creem: CreemStandIn
  /** Calls the webhook as Creem does; gives the status of the reply. */
  deliver(event: CreemEvent | Json): Promise<number>
  /** Waits until every event that was delivered is done with. */
  settled(): Promise<void>
  /** A purchase by the account and the buyer's payment of it. */
  sell(accountId: string): Promise<Sale>
}

export type Sale = {
  readonly id: string
  readonly checkoutId: string
  readonly paymentId: string
  /** What tells of it. */
  readonly event: CreemEvent
}

/** The whole service with a package that Creem sells, or one more instance on its database. */
export const openCreemShop = async (
  t: TestContext,
  {
    beside,
    environment = {},
  }: { readonly beside?: CreemShop; readonly environment?: Record<string, string> } = {},
): Promise<CreemShop> => {
  const creem = beside?.creem ?? (await startCreem(t, PRODUCTS))
  const shop = await openShop(t, {
    ...(beside && { url: beside.url }),
    environment: {
      CREEM_API_KEY: CREEM_KEY,
      CREEM_API_URL: creem.url,
      CREEM_WEBHOOK_SECRET: CREEM_SECRET,
      RATE_LIMIT_WEBHOOK: '100000/1m',
      ...environment,
    },
  })
  const sold = await shop.call('PUT', '/v1/packages/pkg_starter', { creemPriceId: PRODUCT })
  if (sold.status >= 300) throw new Error(`not for sale: ${JSON.stringify(sold.body)}`)
  return {
    ...shop,
    creem,
    async deliver(event) {
      const { body: payload, headers } = creem.signed(event as CreemEvent)
      const { app } = shop
      const reply = await app.inject({
        method: 'POST',
        url: '/v1/webhooks/creem',
        headers,
        payload,
      })
      return reply.statusCode
    },
    settled: () => settle(shop),
    async sell(accountId) {
      const { purchaseId: id } = await shop.buy(accountId, { provider: 'creem' })
      const checkoutId = checkoutOf(creem, id)
      const event = creem.pay(checkoutId)
      return { id, checkoutId, paymentId: event.object.order.transaction, event }
    },
  }
}

const checkoutOf = ({ checkouts }: CreemStandIn, purchaseId: string): string => {
  const checkout = [...checkouts.values()].find(({ request_id }) => request_id === purchaseId)
  if (!checkout) throw new Error(`Creem has no checkout of ${purchaseId}`)
  return checkout.id
}

const settle = async ({ core, runJob }: Shop): Promise<void> => {
  const endMs = performance.now() + DEADLINE_MS
  for (;;) {
    await runJob('webhooks.inbox')
    await runJob('purchases.finish')
    const { rows } = await core.db.pool.query<{ external_event_id: string; last_error: string }>(
      `select external_event_id, last_error from webhook_inbox
        where processed_at is null and dead_at is null`,
    )
    if (rows.length === 0) return
    if (performance.now() > endMs) throw new Error(`events wait: ${JSON.stringify(rows)}`)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}

/** What the inbox came to, by event. */
export const inboxOf = async ({ core }: Shop): Promise<Reply['body'][]> => {
  const { rows } = await core.db.pool.query(
    `select type, outcome, dead_at, last_error from webhook_inbox order by received_at, id`,
  )
  return rows
}
