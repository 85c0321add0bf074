import t from 'tap'
import { type DoorCall, openDoor } from '../helpers/limits.js'

const MALFORMED: readonly (readonly [string, unknown])[] = [
  ['a field that is wrong', { accountId: 'ada', count: 'x' }],
  ['a field that is missing', {}],
  ['no JSON', '{"accountId":'],
]

const post = (as: string, body: unknown): DoorCall => ({
  method: 'POST',
  as,
  body: (typeof body === 'string' ? body : JSON.stringify(body)) as never,
  headers: { 'content-type': 'application/json' },
})

for (const [what, body] of MALFORMED) {
  for (const [isGuest, policy, max] of [
    [false, 'payment', 10],
    [true, 'guestCheckout', 3],
  ] as const) {
    t.test(`purchases with ${what} count as ${policy} of the session's account`, async (t) => {
      const { call, session } = await openDoor(t)
      const as = session('ada', isGuest)
      for (let i = 0; i < max; i += 1) {
        const reply = await call('/buy', post(as, body))
        t.equal(reply.status, 400)
        t.match(reply.headers['ratelimit-policy'], `"${policy}";q=${max}`)
      }
      t.match(await call('/buy', post(as, body)), { status: 429, body: { policy } })
      const again = post(session('ada', isGuest), { accountId: 'ada' })
      t.equal((await call('/buy', again)).status, 429, 'and one that is right is too many')
      const other = post(session('bob', isGuest), { accountId: 'bob' })
      t.equal((await call('/buy', other)).status, 200)
    })
  }
}

t.test('malformed purchases by an API key count for the account they name, if any', async (t) => {
  const { call, key } = await openDoor(t)
  const as = key('shop')
  const wrong = (accountId: unknown) => post(as, { accountId, count: 'x' })
  for (let i = 0; i < 30; i += 1) {
    for (const nobody of [undefined, 7, 'a b', '', 'x'.repeat(129)]) {
      t.equal((await call('/buy', wrong(nobody))).status, 400)
    }
    t.equal((await call('/buy', post(as, '{'))).status, 400)
  }
  for (let i = 0; i < 10; i += 1) t.equal((await call('/buy', wrong('ada'))).status, 400)
  t.match(await call('/buy', wrong('ada')), { status: 429, body: { policy: 'payment' } })
  t.equal((await call('/buy', post(as, { accountId: 'ada' }))).status, 429)
  t.equal((await call('/buy', post(as, { accountId: 'bob' }))).status, 200)
})

t.test('who shows nothing is counted for nobody', async (t) => {
  const { call } = await openDoor(t)
  const body = JSON.stringify({ accountId: 'ada' }) as never
  const headers = { 'content-type': 'application/json' }
  for (let i = 0; i < 15; i += 1) {
    t.equal((await call('/buy', { method: 'POST', body, headers })).status, 401)
  }
})
