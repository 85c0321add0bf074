import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from './database.js'

/** An object of Stripe's, as far as it is looked at. */
export type Thing = { readonly id: string; created: number; [name: string]: unknown }

type Form = Record<string, string>

export type StripeRequest = {
  readonly method: string
  readonly path: string
  readonly form: Form
  readonly headers: IncomingMessage['headers']
}

/** What Stripe knows; tests change it as buyers, banks and dashboards do. */
export type StripeObjects = {
  readonly sessions: Map<string, Thing>
  readonly intents: Map<string, Thing>
  readonly charges: Map<string, Thing>
  readonly refunds: Map<string, Thing>
  readonly disputes: Map<string, Thing>
  readonly subscriptions: Map<string, Thing>
  readonly invoices: Map<string, Thing>
  readonly invoicePayments: Map<string, Thing>
}

/** What goes wrong with the next calls. */
export type Fault = { readonly status: number; readonly calls?: number } | 'hang' | 'reset' | null

export type StripeStandIn = {
  readonly url: string
  readonly apiKey: string
  readonly objects: StripeObjects
  readonly requests: readonly StripeRequest[]
  /** Makes calls fail: those that are said, or all until told otherwise. */
  fail(fault: Fault): void
}

export const newStripeId = (prefix: string): string => `${prefix}_${randomBytes(8).toString('hex')}`

export const nowSeconds = (): number => Math.floor(Date.now() / 1000)

/** A server that speaks the parts of Stripe's API that are called here, in its words. */
export const startStripe = async (t: TestContext): Promise<StripeStandIn> => {
  const apiKey = newStripeId('sk_test')
  const objects: StripeObjects = {
    ...{ sessions: new Map(), intents: new Map(), charges: new Map(), refunds: new Map() },
    ...{ disputes: new Map(), subscriptions: new Map(), invoices: new Map() },
    invoicePayments: new Map(),
  }
  const requests: StripeRequest[] = []
  const replies = new Map<string, { form: string; reply: Reply }>()
  let fault: Fault = null
  let callsToFail = Number.POSITIVE_INFINITY

  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const request = await readRequest(incoming)
    requests.push(request)
    if (fault !== null && callsToFail-- > 0) return failWith(fault, outgoing)
    if (incoming.headers.authorization !== `Bearer ${apiKey}`) {
      return send(outgoing, refusal(401, `Invalid API Key provided: ${apiKey.slice(0, 12)}****`))
    }
    const key = incoming.headers['idempotency-key']
    const form = JSON.stringify([request.path, request.form])
    const known = typeof key === 'string' ? replies.get(key) : undefined
    if (known && known.form !== form) {
      return send(outgoing, refusal(400, 'Keys for idempotent requests can only be used once'))
    }
    const reply = known?.reply ?? handle(objects, request)
    // what was refused for its parameters is not remembered
    if (typeof key === 'string' && reply.status === 200) replies.set(key, { form, reply })
    send(outgoing, reply)
  }

  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    apiKey,
    objects,
    requests,
    fail(wanted) {
      fault = wanted
      const some = typeof wanted === 'object' ? wanted?.calls : undefined
      callsToFail = some ?? Number.POSITIVE_INFINITY
    },
  }
}

const failWith = (fault: Exclude<Fault, null>, outgoing: ServerResponse): void => {
  if (fault === 'hang') return
  if (fault === 'reset') return void outgoing.destroy()
  send(outgoing, refusal(fault.status, 'An error occurred on our end'))
}

type Reply = { readonly status: number; readonly body: unknown }

const refusal = (status: number, message: string): Reply => ({
  status,
  body: { error: { type: status >= 500 ? 'api_error' : 'invalid_request_error', message } },
})

const send = (outgoing: ServerResponse, { status, body }: Reply): void => {
  outgoing.writeHead(status, {
    'content-type': 'application/json',
    'request-id': newStripeId('req'),
    // the SDK waits less before it tries again
    ...(status >= 500 && { 'retry-after': '0' }),
  })
  outgoing.end(JSON.stringify(body))
}

const readRequest = async (incoming: IncomingMessage): Promise<StripeRequest> => {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  const url = new URL(incoming.url ?? '/', 'http://localhost')
  const text = chunks.length > 0 ? Buffer.concat(chunks).toString() : url.search.slice(1)
  const { method = 'GET', headers } = incoming
  const form = Object.fromEntries(new URLSearchParams(text))
  return { method, path: url.pathname, form, headers }
}

const LISTS: readonly [path: string, of: keyof StripeObjects, filters: readonly string[]][] = [
  ['/v1/checkout/sessions', 'sessions', ['payment_intent', 'subscription']],
  ['/v1/refunds', 'refunds', ['payment_intent', 'charge']],
  ['/v1/disputes', 'disputes', ['payment_intent', 'charge']],
  ['/v1/invoices', 'invoices', ['status', 'subscription']],
  ['/v1/invoice_payments', 'invoicePayments', ['payment[payment_intent]']],
  ['/v1/payment_intents', 'intents', []],
  ['/v1/charges', 'charges', []],
  ['/v1/subscriptions', 'subscriptions', []],
]

const handle = (objects: StripeObjects, request: StripeRequest): Reply => {
  const { method, path, form } = request
  if (method === 'POST' && path === '/v1/checkout/sessions') return newSession(objects, form)
  if (method === 'POST' && path === '/v1/refunds') return newRefund(objects, form)
  for (const [base, name, filters] of LISTS) {
    if (method !== 'GET' || !path.startsWith(base)) continue
    const [id, part] = path.slice(base.length + 1).split('/')
    if (!id) return listOf(objects, name, { ...request, filters })
    const thing = objects[name].get(id)
    if (!thing) return refusal(404, `No such ${name}: '${id}'`)
    if (part === 'lines') return page(linesIn(thing), form, path)
    return { status: 200, body: shown(objects, thing, expandOf(form, '')) }
  }
  return refusal(404, `Unrecognized request URL (${method}: ${path})`)
}

/** The lines of an invoice that its own object does not show. */
const linesIn = ({ allLines }: Thing): Thing[] => allLines as Thing[]

const expandOf = (form: Form, prefix: string): string[] =>
  Object.entries(form)
    .filter(([name, value]) => name.startsWith('expand[') && value.startsWith(prefix))
    .map(([, value]) => value.slice(prefix.length))

/** As the API shows it: parts only to those who ask. */
const shown = (objects: StripeObjects, thing: Thing, expand: readonly string[]): unknown => {
  const { line_items: lines, allLines: _all, payment_intent: intent, ...rest } = thing
  const whole = expand.includes('payment_intent') ? objects.intents.get(String(intent)) : undefined
  return {
    ...rest,
    ...(intent !== undefined && { payment_intent: whole ?? intent }),
    ...(lines !== undefined && expand.includes('line_items') && { line_items: lines }),
  }
}

const listOf = (
  objects: StripeObjects,
  name: keyof StripeObjects,
  { path, form, filters }: StripeRequest & { readonly filters: readonly string[] },
): Reply => {
  const since = Number(form['created[gte]'] ?? 0)
  const found = [...objects[name].values()]
    .filter((thing) => filters.every((key) => !form[key] || thing[key] === form[key]))
    .filter(({ created }) => created >= since)
    .reverse()
  const expand = expandOf(form, 'data.')
  const reply = page(found, form, path)
  const list = reply.body as { data: Thing[] }
  return { ...reply, body: { ...list, data: list.data.map((one) => shown(objects, one, expand)) } }
}

const page = (all: readonly Thing[], form: Form, url: string): Reply => {
  const limit = Number(form.limit ?? 10)
  if (limit > 100) return refusal(400, 'Invalid integer: limit must be at most 100')
  const after = form.starting_after
  const begin = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1
  const data = all.slice(begin, begin + limit)
  const hasMore = begin + limit < all.length
  return { status: 200, body: { object: 'list', data, has_more: hasMore, url } }
}

const metadataIn = (form: Form, prefix = ''): Form => {
  const pattern =
    prefix === '' ? /^metadata\[(\w+)\]$/ : /^payment_intent_data\[metadata\]\[(\w+)\]$/
  return Object.fromEntries(
    Object.entries(form).flatMap(([name, value]) => {
      const found = pattern.exec(name)?.[1]
      return found === undefined ? [] : [[found, value]]
    }),
  )
}

const newSession = (objects: StripeObjects, form: Form): Reply => {
  if (!form.success_url) return refusal(400, 'Missing required param: success_url.')
  if (form.customer_email?.endsWith('@refused.example')) {
    return refusal(400, `Invalid email address: ${form.customer_email}`)
  }
  const line = lineIn(form)
  const total = line.unit * line.quantity
  const id = newStripeId('cs_test')
  const session: Thing = {
    ...{ id, object: 'checkout.session', livemode: false, mode: form.mode },
    ...{ created: nowSeconds(), expires_at: nowSeconds() + 86_400 },
    ...{ status: 'open', payment_status: 'unpaid', payment_intent: null, subscription: null },
    ...{ amount_subtotal: total, amount_total: total, currency: line.currency },
    client_reference_id: form.client_reference_id ?? null,
    customer_email: form.customer_email ?? null,
    metadata: metadataIn(form),
    paymentMetadata: metadataIn(form, 'payment_intent_data'),
    url: `https://checkout.stripe.com/c/pay/${id}`,
    line_items: { object: 'list', has_more: false, data: [line] },
  }
  objects.sessions.set(id, session)
  return { status: 200, body: shown(objects, session, []) }
}

/** What a price of Stripe's own costs, 5.00 USD, or what the call says. */
const lineIn = (form: Form) => {
  const at = (name: string) => form[`line_items[0]${name}`]
  return {
    id: newStripeId('li'),
    unit: Number(at('[price_data][unit_amount]') ?? 500),
    quantity: Number(at('[quantity]') ?? 1),
    currency: at('[price_data][currency]') ?? 'usd',
    price: { id: at('[price]') ?? newStripeId('price'), product: 'prod_1' },
  }
}

const newRefund = (objects: StripeObjects, form: Form): Reply => {
  const intent = objects.intents.get(form.payment_intent ?? '')
  if (!intent) return refusal(404, `No such payment_intent: '${form.payment_intent}'`)
  const past = [...objects.refunds.values()].filter(
    (one) => one.payment_intent === intent.id && one.status !== 'failed',
  )
  const left = past.reduce((sum, one) => sum - Number(one.amount), Number(intent.amount_received))
  const amount = form.amount === undefined ? left : Number(form.amount)
  if (amount > left || left === 0) {
    return refusal(400, `Refund amount ($${amount}) is greater than unrefunded amount ($${left})`)
  }
  const refund: Thing = {
    id: newStripeId('re'),
    object: 'refund',
    created: nowSeconds(),
    ...{ amount, currency: intent.currency, status: 'succeeded' },
    ...{ payment_intent: intent.id, charge: intent.latest_charge },
    metadata: metadataIn(form),
  }
  objects.refunds.set(refund.id, refund)
  return { status: 200, body: refund }
}
