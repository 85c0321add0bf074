import t from 'tap'
import { createCreem } from '../../src/purchases/providers/creem.js'
import { signCreem } from '../helpers/creem-shapes.js'
import { CREEM_KEY } from '../helpers/creem-stand-in.js'

const SECRET = 'whsec_first'
const OTHER = 'whsec_second'
const EVENT = {
  id: 'evt_1',
  eventType: 'checkout.completed',
  created_at: 1728734325927,
  object: { id: 'ch_1', object: 'checkout', mode: 'test' },
}

const creemWith = (webhookSecrets: readonly string[], apiKey: string | null = CREEM_KEY) =>
  createCreem({
    webhookSecrets,
    apiKey,
    apiUrl: 'http://127.0.0.1:1',
    now: () => 77,
    log: { warn() {} },
  })

const provider = creemWith([SECRET, OTHER])
const bodyOf = (event: unknown) => Buffer.from(JSON.stringify(event))
const parse = (body: Buffer, signature?: string | string[], by = provider) =>
  by.verifyAndParse({ body, headers: { 'creem-signature': signature } })

t.test('an event signed with any of the secrets is taken', async (t) => {
  const body = bodyOf(EVENT)
  for (const secret of [SECRET, OTHER]) {
    t.match(parse(body, signCreem(body, secret)), {
      id: 'evt_1',
      type: 'checkout.completed',
      objectId: 'ch_1',
      isLive: false,
      createdAtMs: 1728734325927,
      payload: EVENT,
    })
  }
})

t.test('nothing else is', async (t) => {
  const body = bodyOf(EVENT)
  const good = signCreem(body, SECRET)
  const empty = creemWith(['', SECRET])
  const cases: readonly (readonly [string, Buffer, string | string[] | undefined])[] = [
    ['missing', body, undefined],
    ['empty', body, ''],
    ['of another secret', body, signCreem(body, 'whsec_third')],
    ['in capitals', body, good.toUpperCase()],
    ['truncated', body, good.slice(0, 62)],
    ['truncated to half a byte', body, good.slice(0, 63)],
    ['too long', body, `${good}00`],
    ['with a prefix', body, `sha256=${good}`],
    ['with a space', body, `${good} `],
    ['two', body, [good, good]],
    ['of another body', bodyOf({ ...EVENT, id: 'evt_2' }), good],
    ['of the same event, written anew', Buffer.from(JSON.stringify(EVENT, null, 1)), good],
    ['no hex', body, 'z'.repeat(64)],
  ]
  for (const [name, sent, signature] of cases) {
    t.throws(() => parse(sent, signature), { code: 'invalid_signature', status: 400 }, name)
  }
  const byNothing = signCreem(body, '')
  t.throws(() => parse(body, byNothing, empty), { code: 'invalid_signature' }, 'an empty secret')
  t.throws(() => parse(body, byNothing, creemWith([])), { code: 'invalid_signature' }, 'no secret')
  t.ok(parse(body, good, empty), 'beside an empty secret the other one works')
})

t.test('what is signed and is no event is refused as such', async (t) => {
  const { object } = EVENT
  const bodies: readonly (readonly [string, string | Buffer])[] = [
    ['nothing', ''],
    ['no JSON', '{"id":'],
    ['no UTF-8', Buffer.from(JSON.stringify({ ...EVENT, name: '\u00ff' }), 'latin1')],
    ['a list', '[]'],
    ['null', 'null'],
    ['nested a hundred thousand deep', '['.repeat(100_000)],
    ['no id', JSON.stringify({ ...EVENT, id: undefined })],
    ['an id that is none', JSON.stringify({ ...EVENT, id: { id: 'evt_1' } })],
    ['an id with a NUL', JSON.stringify({ ...EVENT, id: 'evt\u0000' })],
    ['an endless id', JSON.stringify({ ...EVENT, id: 'e'.repeat(256) })],
    ['no type', JSON.stringify({ ...EVENT, eventType: '' })],
    ['no object', JSON.stringify({ ...EVENT, object: null })],
    ['an object without an id', JSON.stringify({ ...EVENT, object: { ...object, id: 7 } })],
    ['an object of no kind', JSON.stringify({ ...EVENT, object: { id: 'ch_1' } })],
  ]
  for (const [name, text] of bodies) {
    const body = Buffer.from(text)
    t.throws(() => parse(body, signCreem(body, SECRET)), { code: 'invalid_request' }, name)
  }
})

t.test('all else may be missing', async (t) => {
  const body = bodyOf({ ...EVENT, created_at: undefined, object: { id: 'ch_1', object: 'x' } })
  const event = parse(body, signCreem(body, SECRET))
  t.match(event, { createdAtMs: 77, isLive: false })
  t.strictSame(await provider.factsOf(event), [], 'and tells nothing')
})

t.test('test is told from live, however it is spelt', async (t) => {
  const live = creemWith([SECRET], 'creem_4711')
  const isLive = (object: object, by = provider) => {
    const body = bodyOf({ ...EVENT, object: { id: 'x_1', object: 'dispute', ...object } })
    return parse(body, signCreem(body, SECRET), by).isLive
  }
  for (const mode of ['test', 'sandbox', 'local']) t.equal(isLive({ mode }, live), false, mode)
  for (const mode of ['prod', 'live', 'production']) t.equal(isLive({ mode }), true, mode)
  t.equal(isLive({ mode: 'local', transaction: { mode: 'prod' } }, live), true, 'within')
  t.equal(isLive({}, live), true, 'unsaid: as the key')
  t.equal(isLive({}), false, 'unsaid: as the key')
  t.equal(isLive({}, creemWith([SECRET], null)), true, 'unsaid, no key')
})

t.test('a type that is not known tells nothing', async (t) => {
  for (const eventType of ['customer.created', 'checkout.failed', '__proto__', 'toString']) {
    const body = bodyOf({ ...EVENT, eventType })
    t.strictSame(await provider.factsOf(parse(body, signCreem(body, SECRET))), [], eventType)
  }
})
