import t from 'tap'
import { EVENT_LIMIT_BYTES } from '../../src/purchases/inbox/schema.js'
import { openInbox } from './inbox-kit.js'
import { eventOf } from './stripe-kit.js'

const event = () => eventOf('customer.created', { id: 'cus_1', created: 0 })

/** An event of just that many bytes. */
const eventOfBytes = (bytes: number): string => {
  const text = JSON.stringify({ ...event(), padding: '' })
  return text.replace('"padding":""', `"padding":"${'x'.repeat(bytes - text.length)}"`)
}

t.test('a call that was not signed by the secret is refused, and leaves nothing', async (t) => {
  const { send, rows, app } = await openInbox(t)
  t.match(await send(event(), { secret: 'whsec_of_others' }), {
    status: 400,
    body: { code: 'invalid_signature' },
  })
  const now = Math.floor(Date.now() / 1000)
  for (const timestamp of [now - 301, now + 330]) {
    t.match(await send(event(), { timestamp }), { body: { code: 'invalid_signature' } })
  }
  const bare = { method: 'POST', url: '/v1/webhooks/stripe' } as const
  for (const call of [
    bare,
    { ...bare, payload: event() },
    { ...bare, payload: event(), headers: { 'stripe-signature': 't=1,v1=2' } },
  ]) {
    const reply = await app.inject(call)
    t.equal(reply.statusCode, 400)
    t.equal(reply.json().code, 'invalid_signature')
  }
  t.same(await rows(), [])
})

t.test('a body that was signed and is no event is not valid, and leaves nothing', async (t) => {
  const { send, rows } = await openInbox(t)
  const odd = [
    '{"id":',
    '[]',
    '"\\u0000"',
    JSON.stringify({ ...event(), id: 'evt\u0000' }),
    JSON.stringify({ ...event(), id: 'x'.repeat(256) }),
    JSON.stringify({ ...event(), type: '' }),
    JSON.stringify({ ...event(), created: 1e300 }),
  ]
  for (const text of odd) {
    const reply = await send(text)
    t.match(reply, { status: 400, body: { code: 'invalid_request' } }, text.slice(0, 40))
  }
  t.same(await rows(), [])
})

t.test('text that no database can hold is no fault of ours', async (t) => {
  const { send, rows } = await openInbox(t)
  const more = { data: { object: { id: 'cus\u0000\ud800', note: '\u0000' } } }
  t.equal((await send({ ...event(), ...more })).status, 200)
  t.match(await rows(), [{ object_id: null }])
})

t.test('a mebibyte is taken, and a byte more is not', async (t) => {
  const { send, rows } = await openInbox(t)
  t.equal((await send(eventOfBytes(EVENT_LIMIT_BYTES))).status, 200)
  t.match(await send(eventOfBytes(EVENT_LIMIT_BYTES + 1)), {
    status: 413,
    body: { code: 'payload_too_large' },
  })
  t.equal((await rows())[0]?.raw.length, EVENT_LIMIT_BYTES)
})

t.test('the body is read whatever it is called', async (t) => {
  const { send, rows } = await openInbox(t)
  for (const type of ['application/json', 'text/plain', 'application/vnd.stripe+json']) {
    t.equal((await send(event(), { headers: { 'content-type': type } })).status, 200, type)
  }
  t.equal((await rows()).length, 3)
})

t.test('a provider that is not configured has nobody here', async (t) => {
  const { send } = await openInbox(t, { hasSecret: false })
  t.match(await send(event()), {
    status: 404,
    body: { code: 'not_found', detail: /stripe.*STRIPE_WEBHOOK_SECRET is not set/ },
  })
  t.match(await send(event(), { path: '/v1/webhooks/creem' }), {
    status: 404,
    body: { detail: /CREEM_WEBHOOK_SECRET is not set/ },
  })
})

t.test('ten wrong signatures a second, and no limit to right ones', async (t) => {
  const { send } = await openInbox(t)
  const wrong = { secret: 'whsec_of_others' }
  const statuses: number[] = []
  for (let n = 0; n < 12; n += 1) statuses.push((await send(event(), wrong)).status)
  t.same(statuses, [...Array(10).fill(400), 429, 429])
  const refused = await send(event(), wrong)
  t.match(refused, { headers: { 'retry-after': '1' }, body: { code: 'rate_limited' } })
  const right = await Promise.all(Array.from({ length: 30 }, () => send(event())))
  t.same(new Set(right.map(({ status }) => status)), new Set([200]))
})
