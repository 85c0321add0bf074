import t from 'tap'
import type { RawEvent } from '../../src/purchases/providers/provider.js'
import { readStripeEvent } from '../../src/purchases/providers/stripe-signature.js'
import { eventOf, type StripeEvent, signed } from './stripe-kit.js'

const SECRET = 'whsec_first'
const OTHER = 'whsec_second'
const NOW_S = 1_795_255_200
const NOW_MS = NOW_S * 1000

const event = (): StripeEvent =>
  eventOf('checkout.session.completed', { id: 'cs_1', created: NOW_S, object: 'checkout.session' })

const raw = ({ payload, headers }: ReturnType<typeof signed>): RawEvent => ({
  body: Buffer.from(payload),
  headers,
})

const read = (rawEvent: RawEvent, secrets: readonly string[] = [SECRET], nowMs = NOW_MS) =>
  readStripeEvent(rawEvent, secrets, nowMs)

const at = (timestamp: number, secret = SECRET) => raw(signed(event(), { secret, timestamp }))

t.test('a signature that is right makes an event of it', async (t) => {
  const sent = event()
  const { id, ...rest } = read(raw(signed(sent, { secret: SECRET, timestamp: NOW_S })))
  t.equal(id, sent.id)
  t.match(rest, {
    type: 'checkout.session.completed',
    objectId: 'cs_1',
    isLive: false,
    createdAtMs: (sent.created as number) * 1000,
    payload: { id, data: { object: { id: 'cs_1' } } },
  })
})

t.test('while a secret is rolled, either of two is right, and a third is not', async (t) => {
  for (const secret of [SECRET, OTHER]) t.ok(read(at(NOW_S, secret), [OTHER, SECRET]), secret)
  t.throws(() => read(at(NOW_S, 'whsec_third'), [OTHER, SECRET]), {
    code: 'invalid_signature',
    message: 'The signature does not fit the body',
  })
})

t.test('of two v1 in one header one that is right is enough', async (t) => {
  const { payload, headers } = signed(event(), { secret: SECRET, timestamp: NOW_S })
  const [stamp = '', right = ''] = headers['stripe-signature'].split(',')
  const wrong = `v1=${'0'.repeat(64)}`
  const old = `v0=${'1'.repeat(64)}`
  for (const parts of [
    [stamp, wrong, right],
    [stamp, right, wrong, old],
  ]) {
    const headers = { 'stripe-signature': parts.join(',') }
    t.ok(read(raw({ payload, headers })))
  }
  for (const parts of [[stamp, wrong, wrong], [stamp, old], [stamp], [right], ['nonsense']]) {
    const headers = { 'stripe-signature': parts.join(',') }
    t.throws(() => read(raw({ payload, headers })), { code: 'invalid_signature' }, parts.join())
  }
})

t.test('a stamp counts for five minutes, before as after', async (t) => {
  t.ok(read(at(NOW_S - 300)))
  t.ok(read(at(NOW_S + 300)))
  t.throws(() => read(at(NOW_S - 301)), { code: 'invalid_signature', message: /too old/ })
  t.throws(() => read(at(NOW_S - 301), [OTHER, SECRET]), { message: /too old/ })
  t.throws(() => read(at(NOW_S + 301)), { code: 'invalid_signature', message: /of the future/ })
})

t.test('a missing header, a missing secret, and a body written anew are refused', async (t) => {
  const sent = signed(event(), { secret: SECRET, timestamp: NOW_S })
  const { payload, headers } = sent
  const odd = signed(JSON.stringify({ ...event(), note: '\ufffd' }), {
    secret: SECRET,
    timestamp: NOW_S,
  })
  const text = Buffer.from(odd.payload)
  const place = text.indexOf('\ufffd')
  const bytes = [text.subarray(0, place), Buffer.from([0xff]), text.subarray(place + 3)]
  const asOtherBytes = { body: Buffer.concat(bytes), headers: odd.headers }
  t.ok(read(raw(odd)))
  const refused: [string, RawEvent, readonly string[]][] = [
    ['no header', raw({ payload, headers: {} as never }), [SECRET]],
    ['an empty header', raw({ payload, headers: { 'stripe-signature': '' } }), [SECRET]],
    [
      'two headers',
      { body: Buffer.from(payload), headers: { 'stripe-signature': ['a', 'b'] } },
      [SECRET],
    ],
    ['no secret', raw(sent), []],
    ['an empty secret', raw(signed(event(), { secret: ' ', timestamp: NOW_S })), ['', ' ']],
    [
      'the same JSON, written anew',
      raw({ payload: JSON.stringify(JSON.parse(payload), null, 1), headers }),
      [SECRET],
    ],
    ['one byte more', raw({ payload: `${payload}\n`, headers }), [SECRET]],
    ['a mark of its byte order', raw({ payload: `\ufeff${payload}`, headers }), [SECRET]],
    ['bytes that are no text', asOtherBytes, [SECRET]],
    ['no body', raw({ payload: '', headers }), [SECRET]],
  ]
  for (const [name, rawEvent, secrets] of refused) {
    t.throws(() => read(rawEvent, secrets), { code: 'invalid_signature' }, name)
  }
})

t.test('what is signed and no event is not valid, and says nothing of the body', async (t) => {
  const bodies = [
    '{"id":',
    'null',
    '"evt"',
    '[]',
    '{}',
    '{"object":"v2.core.event","id":"evt_1"}',
    JSON.stringify({ ...event(), id: 7 }),
    JSON.stringify({ ...event(), data: null }),
    JSON.stringify({ ...event(), livemode: 'yes' }),
  ]
  for (const body of bodies) {
    const rawEvent = raw(signed(body, { secret: SECRET, timestamp: NOW_S }))
    t.throws(() => read(rawEvent), { code: 'invalid_request' }, body.slice(0, 40))
  }
})
