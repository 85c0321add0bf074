import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type CreemEvent,
  CUSTOMER,
  checkoutOfDispute,
  type Json,
  nestedCheckout,
  nestedSubscription,
  orderOf,
  productOf,
  signCreem,
  subscriptionOf,
  transactionOf,
} from './creem-shapes.js'
import type { TestContext } from './database.js'

export const CREEM_KEY = 'creem_test_4d2f8bdc0e6a'
export const CREEM_SECRET = 'whsec_of_creem_in_the_tests'

export type CreemProduct = {
  readonly id: string
  readonly price: number
  readonly currency?: string
  readonly recurring?: boolean
}

/** What the next calls meet: an HTTP status, a reply that never comes, or a broken connection. */
export type CreemFault = number | 'hang' | 'reset' | 'garbage'

export type CreemStandIn = ReturnType<typeof createBooks> & {
  readonly url: string
  /** Every call that came, as `POST /v1/checkouts`. */
  readonly calls: { readonly path: string; readonly body: Json; readonly headers: Json }[]
  /** The next calls meet this; null: all is well again. */
  fault: CreemFault | null
  /** An event as Creem sends it. */
  signed(event: CreemEvent): { body: Buffer; headers: Record<string, string> }
}

const DAY_MS = 24 * 3_600_000

/** Creem's HTTP API over books of its own, on loopback; gone when the test ends. */
export const startCreem = async (
  t: TestContext,
  products: readonly CreemProduct[],
  nowMs: () => number = Date.now,
): Promise<CreemStandIn> => {
  const books = createBooks(products, nowMs)
  const calls: CreemStandIn['calls'] = []
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request)
    const url = new URL(request.url ?? '/', 'http://creem')
    calls.push({ path: `${request.method} ${url.pathname}`, body, headers: request.headers })
    const { fault } = standIn
    if (fault === 'hang') return
    if (fault === 'reset') return request.socket.resetAndDestroy()
    if (fault === 'garbage') return response.writeHead(200).end('<html>')
    if (fault !== null) return answer(response, [fault, refusal(fault, 'as the test wants it')])
    if (request.headers['x-api-key'] !== CREEM_KEY) return answer(response, [403, {}])
    answer(response, books.answerTo(request.method ?? '', url, body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const signed: CreemStandIn['signed'] = (event) => {
    const body = Buffer.from(JSON.stringify(event))
    const headers = { 'creem-signature': signCreem(body, CREEM_SECRET) }
    return { body, headers: { 'content-type': 'application/json', ...headers } }
  }
  const standIn: CreemStandIn = { ...books, url, calls, fault: null, signed }
  return standIn
}

const bodyOf = async (request: IncomingMessage): Promise<Json> => {
  let text = ''
  for await (const chunk of request) text += chunk
  return text === '' ? {} : (JSON.parse(text) as Json)
}

type Answer = readonly [status: number, body: Json]

const answer = (response: ServerResponse, [status, body]: Answer): void => {
  const elsewhere = status >= 300 && status < 400 ? { location: '/elsewhere' } : {}
  response.writeHead(status, { 'content-type': 'application/json', ...elsewhere })
  response.end(JSON.stringify(body))
}

const refusal = (status: number, message: string): Json => ({
  trace_id: '0c9a5f0e',
  status,
  error: 'Bad Request',
  message: [message],
  timestamp: 1728734351631,
})

type Books = {
  readonly products: ReadonlyMap<string, Json>
  readonly checkouts: Map<string, Json>
  readonly transactions: Map<string, Json>
  readonly subscriptions: Map<string, Json>
  readonly pendingRefunds: { transaction: Json; amount: number }[]
  readonly nowMs: () => number
  readonly newId: (prefix: string) => string
  readonly event: (eventType: string, object: Json) => CreemEvent
}

const createBooks = (products: readonly CreemProduct[], nowMs: () => number) => {
  let count = 0
  const newId = (prefix: string) => `${prefix}_${String(++count).padStart(6, '0')}AbCdEf`
  const books: Books = {
    products: new Map(products.map((product) => [product.id, productFrom(product)])),
    checkouts: new Map(),
    transactions: new Map(),
    subscriptions: new Map(),
    pendingRefunds: [],
    nowMs,
    newId,
    event: (eventType, object) => {
      const copy = structuredClone(object)
      return { id: newId('evt'), eventType, created_at: nowMs(), object: copy }
    },
  }
  return { ...books, ...payments(books), ...plans(books), answerTo: routerOf(books) }
}

const productFrom = ({ id, price, currency = 'USD', recurring = false }: CreemProduct): Json =>
  productOf({
    ...{ id, name: id, price, currency },
    billing_type: recurring ? 'recurring' : 'onetime',
  })

/** What buyers, banks and the dashboard do to one-time payments; each gives its event. */
const payments = (books: Books) => ({
  /** The buyer pays; with 21 % of tax on top unless told otherwise. */
  pay: (checkoutId: string, taxPercent = 21): CreemEvent => pay(books, checkoutId, taxPercent),
  expire(checkoutId: string): void {
    checkoutIn(books, checkoutId).status = 'expired'
  },
  /** Somebody refunds in the dashboard; all that is left without an amount. */
  refundPayment: (paymentId: string, amount?: number, status = 'succeeded'): CreemEvent => {
    const transaction = transactionIn(books, paymentId)
    const left = transaction.amount_paid - (transaction.refunded_amount ?? 0)
    return refundEvent(books, transaction, { amount: amount ?? left, status })
  },
  /** What was pending has gone through, or has not; of this Creem tells nobody. */
  settleRefunds(succeed: boolean): void {
    for (const { transaction, amount } of books.pendingRefunds.splice(0)) {
      if (succeed) noteRefund(transaction, amount)
    }
  },
  /** A bank takes the money back: all of it without an amount. */
  dispute: (paymentId: string, amount?: number): CreemEvent => {
    const transaction = transactionIn(books, paymentId)
    const left = transaction.amount_paid - (transaction.refunded_amount ?? 0)
    transaction.refunded_amount = (transaction.refunded_amount ?? 0) + (amount ?? left)
    transaction.status = 'chargeback'
    return books.event('dispute.created', {
      ...{ id: books.newId('disp'), object: 'dispute', amount: amount ?? left },
      ...{ currency: transaction.currency, transaction },
      ...relationsOf(books, transaction, checkoutOfDispute),
      ...{ customer: CUSTOMER, created_at: books.nowMs(), mode: 'local' },
    })
  },
})

const checkoutIn = (books: Books, id: string): Json => found(books.checkouts, id)
const transactionIn = (books: Books, id: string): Json => found(books.transactions, id)

const found = (map: ReadonlyMap<string, Json>, id: string): Json => {
  const value = map.get(id)
  if (!value) throw new Error(`Creem has no ${id}`)
  return value
}

const iso = (ms: number): string => new Date(ms).toISOString()

const addTransaction = (books: Books, transaction: Json): Json => {
  const made = transactionOf({
    id: books.newId('tran'),
    created_at: books.nowMs(),
    ...transaction,
  })
  // the newest first, as they are listed
  const older = [...books.transactions]
  books.transactions.clear()
  for (const [id, value] of [[made.id, made] as const, ...older]) books.transactions.set(id, value)
  return made
}

const pay = (books: Books, checkoutId: string, taxPercent: number): CreemEvent => {
  const checkout = checkoutIn(books, checkoutId)
  const { product } = checkout
  const amount = product.price * checkout.units
  const tax = Math.round((amount * taxPercent) / 100)
  const sums = { amount, tax_amount: tax, amount_paid: amount + tax, currency: product.currency }
  const orderId = books.newId('ord')
  const transaction = addTransaction(books, {
    ...{ ...sums, type: 'payment', order: orderId, description: 'Product payment' },
  })
  const at = iso(books.nowMs())
  checkout.order = orderOf({
    ...{ id: orderId, product: product.id, ...sums, sub_total: amount, type: 'onetime' },
    ...{ amount_due: amount + tax, transaction: transaction.id, created_at: at, updated_at: at },
  })
  checkout.status = 'completed'
  checkout.customer = CUSTOMER
  return books.event('checkout.completed', checkout)
}

const relationsOf = (books: Books, transaction: Json, shape: (checkout: Json) => Json): Json => {
  const checkout = [...books.checkouts.values()].find(
    ({ order }) => order?.id === transaction.order,
  )
  const subscription = books.subscriptions.get(transaction.subscription)
  return {
    ...(subscription && { subscription: nestedSubscription(subscription) }),
    ...(checkout && { checkout: shape(checkout), order: checkout.order }),
  }
}

const noteRefund = (transaction: Json, amount: number): void => {
  transaction.refunded_amount = (transaction.refunded_amount ?? 0) + amount
  const isWhole = transaction.refunded_amount >= transaction.amount_paid
  transaction.status = isWhole ? 'refunded' : 'partialRefund'
}

const refundEvent = (
  books: Books,
  transaction: Json,
  { amount, status }: { readonly amount: number; readonly status: string },
): CreemEvent => {
  if (status === 'succeeded') noteRefund(transaction, amount)
  if (status === 'pending') books.pendingRefunds.push({ transaction, amount })
  // in the sample the transaction within a refund names no customer
  const { customer: _, ...within } = transaction
  return books.event('refund.created', {
    ...{ id: books.newId('ref'), object: 'refund', status, refund_amount: amount },
    ...{ refund_currency: transaction.currency, reason: 'requested_by_customer' },
    ...{ transaction: within, ...relationsOf(books, transaction, nestedCheckout) },
    ...{ customer: CUSTOMER, created_at: books.nowMs(), mode: 'test' },
  })
}

/** What happens to subscriptions. */
const plans = (books: Books) => ({
  /** A buyer subscribes through a checkout; gives the events of it. */
  subscribe: (checkoutId: string, days = 30): CreemEvent[] => {
    const checkout = checkoutIn(books, checkoutId)
    const { product, metadata } = checkout
    const id = books.newId('sub')
    const at = iso(books.nowMs())
    const item = { object: 'subscription_item', id: books.newId('sitem'), product_id: product.id }
    const items = [{ ...item, price_id: books.newId('pprice'), units: 1, mode: 'test' }]
    const subscription = subscriptionOf({ id, product, items, metadata, created_at: at })
    books.subscriptions.set(id, subscription)
    const orderId = books.newId('ord')
    const paid = payPeriod(books, subscription, { days, orderId })
    checkout.order = orderOf({
      ...{ id: orderId, product: product.id, amount: product.price, currency: product.currency },
      ...{ type: 'recurring', created_at: at, updated_at: at },
    })
    Object.assign(checkout, { status: 'completed', customer: CUSTOMER })
    checkout.subscription = nestedSubscription(subscription)
    const active = books.event('subscription.active', subscription)
    return [books.event('checkout.completed', checkout), active, paid]
  },
  /** The next period is paid. */
  renew: (subscriptionId: string, days = 30): CreemEvent =>
    payPeriod(books, found(books.subscriptions, subscriptionId), { days }),
  /** The buyer pays the difference to another product; the period stays as it is. */
  upgrade: (subscriptionId: string, productId: string, amount: number): CreemEvent => {
    const subscription = found(books.subscriptions, subscriptionId)
    const product = found(books.products, productId)
    const { id } = addTransaction(books, {
      ...{ amount, amount_paid: amount, tax_amount: 0, currency: product.currency },
      ...{ type: 'invoice', subscription: subscriptionId, description: 'Subscription update' },
      period_start: Date.parse(subscription.current_period_start_date),
      period_end: Date.parse(subscription.current_period_end_date),
    })
    const items = subscription.items.map((item: Json) => ({ ...item, product_id: productId }))
    const last = { last_transaction_id: id, last_transaction_date: iso(books.nowMs()) }
    Object.assign(subscription, { product, items, ...last })
    return books.event('subscription.paid', subscription)
  },
  /** An event of this type about a subscription that has changed as told. */
  change: (subscriptionId: string, type: string, changes: Json = {}): CreemEvent => {
    const subscription = found(books.subscriptions, subscriptionId)
    Object.assign(subscription, changes, { updated_at: iso(books.nowMs()) })
    return books.event(`subscription.${type}`, subscription)
  },
})

const payPeriod = (
  books: Books,
  subscription: Json,
  { days, orderId }: { readonly days: number; readonly orderId?: string },
): CreemEvent => {
  const { product, current_period_end_date: end } = subscription
  const startMs = end === undefined ? books.nowMs() : Date.parse(end)
  const endMs = startMs + days * DAY_MS
  const transaction = addTransaction(books, {
    ...{ amount: product.price, amount_paid: product.price, tax_amount: 0 },
    ...{ currency: product.currency, type: 'invoice', subscription: subscription.id },
    ...{ order: orderId ?? null, description: 'Subscription payment' },
    ...{ period_start: startMs, period_end: endMs },
  })
  Object.assign(subscription, {
    ...{ status: 'active', last_transaction_id: transaction.id },
    ...{ last_transaction_date: iso(books.nowMs()), next_transaction_date: iso(endMs) },
    ...{ current_period_start_date: iso(startMs), current_period_end_date: iso(endMs) },
  })
  return books.event('subscription.paid', subscription)
}

const routerOf =
  (books: Books) =>
  (method: string, { pathname, searchParams }: URL, body: Json): Answer => {
    const one = (map: ReadonlyMap<string, Json>, name: string): Answer => {
      const value = map.get(searchParams.get(name) ?? '')
      return value ? [200, value] : [404, refusal(404, 'not found')]
    }
    switch (`${method} ${pathname}`) {
      case 'POST /v1/checkouts':
        return newCheckout(books, body)
      case 'GET /v1/checkouts':
        return one(books.checkouts, 'checkout_id')
      case 'GET /v1/transactions':
        return one(books.transactions, 'transaction_id')
      case 'GET /v1/subscriptions':
        return one(books.subscriptions, 'subscription_id')
      case 'GET /v1/transactions/search':
        return [200, pageOf([...books.transactions.values()], searchParams)]
      case 'GET /v1/subscriptions/search':
        return [200, pageOf([...books.subscriptions.values()], searchParams)]
      case 'POST /v1/refunds':
        return newRefund(books, body)
      default:
        return [404, refusal(404, `Cannot ${method} ${pathname}`)]
    }
  }

const newCheckout = (books: Books, body: Json): Answer => {
  const product = books.products.get(body.product_id)
  if (!product) return [404, refusal(404, `Product ${body.product_id} not found`)]
  const known = ['product_id', 'request_id', 'units', 'metadata', 'customer', 'success_url']
  const unknown = Object.keys(body).filter((name) => !known.includes(name))
  if (unknown.length > 0) return [400, refusal(400, `property ${unknown} should not exist`)]
  const id = books.newId('ch')
  const checkout: Json = {
    ...{ id, object: 'checkout', request_id: body.request_id, product, units: body.units ?? 1 },
    ...{ custom_fields: [], status: 'pending', metadata: body.metadata, mode: 'test' },
    checkout_url: `https://checkout.creem.io/${id}`,
    success_url: body.success_url ?? null,
  }
  books.checkouts.set(id, checkout)
  return [200, checkout]
}

const newRefund = (books: Books, body: Json): Answer => {
  if (Object.keys(body).join() !== 'transaction_id') return [400, refusal(400, 'bad property')]
  const transaction = books.transactions.get(body.transaction_id)
  if (!transaction) return [404, refusal(404, 'Transaction not found')]
  const left = transaction.amount_paid - (transaction.refunded_amount ?? 0)
  if (left <= 0) return [400, refusal(400, 'Transaction is refunded already')]
  noteRefund(transaction, left)
  return [200, { id: books.newId('ref'), status: 'succeeded' }]
}

const pageOf = (all: readonly Json[], query: URLSearchParams): Json => {
  const orderId = query.get('order_id')
  const own = all.filter(
    ({ order, unlisted }) => unlisted !== true && (orderId === null || order === orderId),
  )
  const size = Number(query.get('page_size') ?? 10)
  const page = Number(query.get('page_number') ?? 1)
  const total = Math.ceil(own.length / size)
  return {
    items: own.slice((page - 1) * size, page * size),
    pagination: {
      ...{ total_records: own.length, total_pages: total, current_page: page },
      ...{ next_page: page < total ? page + 1 : null, prev_page: page > 1 ? page - 1 : null },
    },
  }
}
