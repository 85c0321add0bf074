import { randomUUID } from 'node:crypto'
import pino from 'pino'
import { type Database, openDatabase } from '../../src/db/open.js'
import type { App } from '../../src/http/route.js'
import type { FactOutcome, PaymentFact } from '../../src/payment-facts.js'
import { webhookRoutes } from '../../src/purchases/inbox/routes.js'
import { createInbox, type Inbox } from '../../src/purchases/inbox/service.js'
import { createInboxStore, type InboxStore } from '../../src/purchases/inbox/store.js'
import { createStripe } from '../../src/purchases/providers/stripe.js'
import { freshDatabase, quietLog, type TestContext } from '../helpers/database.js'
import { openDoor } from '../helpers/limits.js'
import { type StripeStandIn, startStripe } from '../helpers/stripe-stand-in.js'
import {
  createWorld,
  type Signing,
  type StripeEvent,
  type StripeWorld,
  signed,
} from './stripe-kit.js'

export const SECRET = 'whsec_of_the_tests'

export type InboxScene = {
  readonly app: App
  readonly db: Database
  readonly url: string
  readonly inbox: Inbox
  readonly store: InboxStore
  readonly standIn: StripeStandIn
  readonly world: StripeWorld
  readonly clock: { aheadMs: number }
  /** The facts that were taken, in order. */
  readonly facts: PaymentFact[]
  /** What becomes of the facts from now on; one that throws fails. */
  answer(outcome: () => FactOutcome | Promise<FactOutcome>): void
  send(event: StripeEvent | string, more?: SendOptions): Promise<Sent>
  /** What the inbox holds, oldest first. */
  rows(): Promise<InboxRow[]>
}

export type SendOptions = Partial<Signing> & {
  readonly headers?: Record<string, string>
  readonly path?: string
}

export type Sent = {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Readonly<Record<string, unknown>>
}

export type InboxRow = {
  readonly id: string
  readonly external_event_id: string
  readonly type: string
  readonly attempts: number
  readonly processed_at: Date | null
  readonly dead_at: Date | null
  readonly outcome: string | null
  readonly last_error: string | null
  readonly next_attempt_at: Date
  readonly headers: Readonly<Record<string, string>>
  readonly raw: Buffer
}

export type InboxSetup = {
  /** Another instance on the database and the Stripe of a scene. */
  readonly beside?: InboxScene
  readonly isLive?: boolean | null
  readonly hasSecret?: boolean
}

/** The inbox over its routes, on a real database, with Stripe; what acts on facts is the test's. */
export const openInbox = async (t: TestContext, setup: InboxSetup = {}): Promise<InboxScene> => {
  const { beside, isLive = false, hasSecret = true } = setup
  const url = beside?.url ?? (await freshDatabase(t)).url
  const standIn = beside?.standIn ?? (await startStripe(t))
  const db = await openDatabase({ url, log: quietLog })
  const clock = { aheadMs: 0 }
  const now = () => Date.now() + clock.aheadMs
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' })
  const stripe = createStripe({
    ...{ apiKey: standIn.apiKey, apiUrl: standIn.url, webhookSecrets: [SECRET] },
    ...{ now, log, timeoutMs: 500 },
  })
  const facts: PaymentFact[] = []
  let outcome: () => FactOutcome | Promise<FactOutcome> = () => ({ kind: 'applied' })
  const store = createInboxStore({ orm: db.orm, now, newId: randomUUID })
  const inbox = createInbox({
    ...{ store, now, log },
    sources: new Map(hasSecret ? [['stripe', { provider: stripe, isLive }]] : []),
    takeFact: async (fact) => {
      facts.push(fact)
      return outcome()
    },
  })
  const { app } = await openDoor(t)
  await app.register(webhookRoutes, { inbox })
  t.teardown(async () => {
    await app.close()
    await db.close()
  })
  return {
    ...{ app, db, url, inbox, store, standIn, clock, facts },
    world: createWorld(standIn),
    answer: (act) => {
      outcome = act
    },
    send: (event, more) => send(app, event, more),
    rows: async () =>
      (await db.pool.query<InboxRow>('select * from webhook_inbox order by received_at, id')).rows,
  }
}

/** As Stripe calls us. */
export const send = async (
  app: App,
  event: StripeEvent | string,
  { path = '/v1/webhooks/stripe', secret = SECRET, headers = {}, ...stamp }: SendOptions = {},
): Promise<Sent> => {
  const { payload, headers: signature } = signed(event, { secret, ...stamp })
  const reply = await app.inject({
    method: 'POST',
    url: path,
    headers: { 'content-type': 'application/json; charset=utf-8', ...signature, ...headers },
    payload,
  })
  return { status: reply.statusCode, headers: reply.headers, body: reply.json() }
}

/** A checkout that has been paid, and the event that tells of it. */
export const begin = async ({ standIn }: Pick<InboxScene, 'standIn'>): Promise<string> => {
  const stripe = createStripe({
    ...{ apiKey: standIn.apiKey, apiUrl: standIn.url, webhookSecrets: [] },
    ...{ now: Date.now, log: { warn() {} } },
  })
  const { checkoutId } = await stripe.create({
    ...{ purchaseId: randomUUID(), accountId: 'ann', email: null, packageId: 'pkg_starter' },
    ...{ name: 'Starter', credits: 100, amount: 500, currency: 'USD', priceId: null },
    successUrl: 'https://shop.example/done',
  })
  return checkoutId ?? ''
}
