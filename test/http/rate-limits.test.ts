import t from 'tap'
import { createMemoryRateLimit } from '../../src/stores/rate-limit/memory.js'
import { type Door, type DoorCall, openDoor } from '../helpers/limits.js'

const statuses = async (door: Door, count: number, path: string, call?: DoorCall) => {
  const seen: number[] = []
  for (let i = 0; i < count; i++) seen.push((await door.call(path, call)).status)
  return seen
}

/** How many calls go through before the first that does not. */
const passes = async (door: Door, path: string, call?: DoorCall): Promise<number> => {
  for (let count = 0; count < 200; count++) {
    if ((await door.call(path, call)).status === 429) return count
  }
  return Number.POSITIVE_INFINITY
}

t.test('each policy lets through what it allows, and takes nothing from another', async (t) => {
  const door = await openDoor(t)
  const as = door.session('ada')
  const guest = door.session('guest-1', true)
  const body = { accountId: 'ada' }
  t.equal(await passes(door, '/api', { as }), 100)
  t.equal(await passes(door, '/search', { as }), 30)
  t.equal(await passes(door, '/hold', { as, method: 'POST' }), 5)
  t.equal(await passes(door, '/buy', { as, method: 'POST', body }), 10)
  t.equal(await passes(door, '/buy', { as: guest, method: 'POST', body }), 3, 'guests')
  t.equal(await passes(door, '/guest', { method: 'POST' }), 5)
  t.equal(await passes(door, '/webhooks/stripe', { method: 'POST' }), 10)
})

t.test('the window slides: what was taken first comes back first', async (t) => {
  const door = await openDoor(t)
  const as = door.session('ada')
  await statuses(door, 20, '/search', { as })
  door.clock.ms += 40_000
  t.equal(await passes(door, '/search', { as }), 10)
  door.clock.ms += 19_999
  t.equal(await passes(door, '/search', { as }), 0, 'a fixed window would have begun anew')
  door.clock.ms += 1
  t.equal(await passes(door, '/search', { as }), 20)
  door.clock.ms += 40_000
  t.equal(await passes(door, '/search', { as }), 10)
})

t.test('sessions share the limit of their account, accounts do not', async (t) => {
  const door = await openDoor(t)
  t.equal(await passes(door, '/search', { as: door.session('ada') }), 30)
  const elsewhere = { as: door.session('ada'), from: '198.51.100.7' }
  t.equal(await passes(door, '/search', elsewhere), 0, 'another device of the same user')
  t.equal(await passes(door, '/search', { as: door.session('bob') }), 30)
})

t.test('every counted reply tells how the caller stands, refusals too', async (t) => {
  const door = await openDoor(t)
  const as = door.session('ada')
  const first = await door.call('/search', { as })
  t.match(first, {
    status: 200,
    headers: {
      'ratelimit-policy': '"search";q=30;w=60',
      ratelimit: '"search";r=29;t=60',
      'x-ratelimit-limit': '30',
      'x-ratelimit-remaining': '29',
      'x-ratelimit-reset': '60',
    },
  })
  t.equal(first.headers['retry-after'], undefined)
  door.clock.ms += 47_100
  await statuses(door, 29, '/search', { as })
  const refused = await door.call('/search', { as })
  t.match(refused, {
    status: 429,
    headers: {
      'content-type': 'application/problem+json',
      'ratelimit-policy': '"search";q=30;w=60',
      ratelimit: '"search";r=0;t=13',
      'x-ratelimit-limit': '30',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '13',
      'retry-after': '13',
    },
    body: {
      type: 'urn:creditd:problem:rate_limited',
      code: 'rate_limited',
      status: 429,
      policy: 'search',
      limit: 30,
      windowSeconds: 60,
      retryAfterSeconds: 13,
    },
  })
  const wrong = await door.call('/search?no=such', { as: door.session('bob') })
  t.match(wrong, { headers: { ratelimit: '"search";r=29;t=60' } }, `a ${wrong.status}`)
  const foreign = await door.call('/own/ada', { as: door.session('cy') })
  t.match(foreign, { status: 404, headers: { ratelimit: '"api";r=99;t=60' } })
  const closed = await door.call('/admin', { as: door.session('dee') })
  t.match(closed, { status: 403, headers: { ratelimit: '"api";r=99;t=60' } })
  const bare = await door.call('/free')
  t.match(bare.status, 200)
  t.notOk(Object.keys(bare.headers).some((name) => name.includes('ratelimit')))
})

t.test('API keys are not limited, on public routes neither', async (t) => {
  const door = await openDoor(t)
  const as = door.key('shop')
  for (const path of ['/api', '/search', '/public']) {
    t.equal(await passes(door, path, { as }), Number.POSITIVE_INFINITY, path)
    const { headers } = await door.call(path, { as })
    t.notOk(Object.keys(headers).some((name) => name.includes('ratelimit')))
  }
  t.equal(await passes(door, '/hold', { as, method: 'POST' }), Number.POSITIVE_INFINITY)
  t.equal(await passes(door, '/guest', { as, method: 'POST' }), Number.POSITIVE_INFINITY)
  t.equal(await passes(door, '/public'), 100, 'nobody in particular is')
  t.equal((await door.call('/public', { as })).status, 200, 'from the same address')
  t.equal((await door.call('/public', { as: 'nonsense' })).status, 429)
})

t.test('the setting holds API keys to the policies, each key by itself', async (t) => {
  const door = await openDoor(t, { environment: { RATE_LIMIT_API_KEYS: 'true' } })
  t.equal(await passes(door, '/api', { as: door.key('shop') }), 100)
  t.equal(await passes(door, '/search', { as: door.key('shop') }), 30)
  t.equal(await passes(door, '/api', { as: door.key('chat') }), 100)
  const holds = { as: door.key('jobs'), method: 'POST' } as const
  t.equal(await passes(door, '/hold', holds), 100, 'a back end holds for all its users')
})

t.test('purchases are counted by account, whoever begins them', async (t) => {
  const door = await openDoor(t)
  const buy = (key: string, accountId: string) =>
    passes(door, '/buy', { as: door.key(key), method: 'POST', body: { accountId } })
  t.equal(await buy('shop', 'ada'), 10)
  t.equal(await buy('chat', 'ada'), 0, 'another key, the same account')
  t.equal(await buy('shop', 'bob'), 10)
  const body = { accountId: 'bob' }
  const own = { as: door.session('ada'), method: 'POST', body } as const
  t.equal(await passes(door, '/buy', own), 0, 'a session buys for itself, whatever it says')
})

t.test('a key with a limit of its own is held to it over all routes', async (t) => {
  const door = await openDoor(t)
  const as = door.key('trial', { limit: { max: 7, windowMs: 10_000 } })
  t.same(await statuses(door, 4, '/api', { as }), [200, 200, 200, 200])
  t.same(await statuses(door, 4, '/search', { as }), [200, 200, 200, 429])
  const refused = await door.call('/api', { as })
  t.match(refused, {
    status: 429,
    headers: { 'ratelimit-policy': '"key";q=7;w=10' },
    body: { policy: 'key', limit: 7, detail: /^This API key may make 7 calls in 10 seconds/ },
  })
  door.clock.ms += 10_000
  const body = { accountId: 'ada' }
  const bought = await door.call('/buy', { as, method: 'POST', body })
  t.match(bought, {
    status: 200,
    headers: {
      'ratelimit-policy': '"key";q=7;w=10, "payment";q=10;w=60',
      ratelimit: '"key";r=6;t=10, "payment";r=9;t=60',
      'x-ratelimit-limit': '7',
      'x-ratelimit-remaining': '6',
      'x-ratelimit-reset': '10',
    },
  })
})

t.test('a call on behalf of a user is held to the limits of that user', async (t) => {
  const door = await openDoor(t)
  const as = door.key('shop')
  const onBehalf = (user: string) => ({ as, headers: { 'on-behalf-of': user } })
  t.equal(await passes(door, '/search', onBehalf('ada')), 30)
  t.equal(await passes(door, '/search', { as: door.session('ada') }), 0, 'and so is the user')
  t.equal(await passes(door, '/search', onBehalf('bob')), 30)
  t.equal(await passes(door, '/search', { as }), Number.POSITIVE_INFINITY, 'the key is not')
  t.equal(await passes(door, '/hold', { ...onBehalf('cy'), method: 'POST' }), 5)
  for (const bad of ['', '-ada', 'a b', 'x'.repeat(129), 'ada, bob', 'ä']) {
    const refused = await door.call('/api', onBehalf(bad))
    t.match(refused, { status: 400, body: { errors: [{ in: 'header', path: 'on-behalf-of' }] } })
  }
  const headers = { 'on-behalf-of': 'ada' }
  t.match(await door.call('/api', { as: door.session('eve'), headers }), { status: 403 })
  t.match(await door.call('/public', { headers }), { status: 401 })
  const wide = door.key('wide', { limit: { max: 50, windowMs: 10_000 } })
  const both = await door.call('/search', { as: wide, headers: { 'on-behalf-of': 'flo' } })
  t.match(both.headers, {
    ratelimit: '"key";r=49;t=10, "search";r=29;t=60',
    'x-ratelimit-limit': '30',
    'x-ratelimit-remaining': '29',
    'x-ratelimit-reset': '60',
  })
  const trial = door.key('trial', { limit: { max: 2, windowMs: 10_000 } })
  const calls = { as: trial, headers: { 'on-behalf-of': 'dee' } }
  t.same(await statuses(door, 3, '/api', calls), [200, 200, 429], 'nobody evades a limit by it')
})

t.test('failed credentials are counted by address, and hinder none that is valid', async (t) => {
  const door = await openDoor(t)
  const good = door.key('shop')
  const bad = `ck_test_${'x'.repeat(43)}`
  const first = await door.call('/api', { as: bad })
  t.match(first, { status: 401, headers: { ratelimit: '"auth";r=4;t=900' } })
  t.same(await statuses(door, 5, '/search', { as: 'nonsense' }), [401, 401, 401, 401, 429])
  const refused = await door.call('/api', { as: bad })
  t.match(refused, { status: 429, body: { policy: 'auth' }, headers: { 'retry-after': '900' } })
  t.equal((await door.call('/api', { as: good })).status, 200, 'a key nobody has used before')
  t.equal((await door.call('/api', { as: door.session('ada') })).status, 200)
  t.equal((await door.call('/api', { as: bad, from: '192.0.2.2' })).status, 401, 'elsewhere')
  t.equal((await door.call('/api')).status, 401, 'no credential is no guess')
  t.match(await door.call('/guest', { method: 'POST' }), { status: 429, body: { policy: 'auth' } })
  door.clock.ms += 900_000
  t.equal((await door.call('/api', { as: 'nonsense' })).status, 401)
})

t.test('a key that has just failed is not looked up again each time', async (t) => {
  const door = await openDoor(t)
  const bad = `ck_test_${'x'.repeat(43)}`
  await statuses(door, 50, '/api', { as: bad })
  t.equal(door.lookUps(), 1)
  door.clock.ms += 5_000
  await statuses(door, 50, '/api', { as: bad })
  t.equal(door.lookUps(), 2, 'a key may have been made meanwhile')
  door.clock.ms += 4_000
  await door.call('/api', { as: bad })
  door.clock.ms += 1_000
  await door.call('/api', { as: bad })
  t.equal(door.lookUps(), 3, 'also for who never stops asking')
  t.equal((await door.call('/public', { as: bad })).status, 200, 'what is public asks for none')
})

t.test('callers without a credential are counted by address on every route', async (t) => {
  const door = await openDoor(t)
  const seen = await statuses(door, 101, '/api')
  t.same(new Set(seen.slice(0, 100)), new Set([401]))
  t.equal(seen.at(-1), 429)
  t.equal((await door.call('/api', { from: '192.0.2.2' })).status, 401)
})

t.test('to begin a session counts by address, whoever does', async (t) => {
  const door = await openDoor(t)
  const call = (user: string) => ({ method: 'POST', as: door.session(user) }) as const
  t.equal(await passes(door, '/guest', call('ada')), 5)
  t.equal((await door.call('/guest', call('bob'))).status, 429)
  t.equal((await door.call('/guest', { ...call('bob'), from: '192.0.2.2' })).status, 200)
})

t.test('an outage of the sessions counts against nobody', async (t) => {
  const door = await openDoor(t)
  const as = door.session('ada')
  door.loseSessions()
  const refused = await door.call('/api', { as })
  t.match(refused, { status: 503, body: { code: 'sessions_unavailable' } })
  t.equal(refused.headers.ratelimit, undefined)
})

t.test('a forwarded address counts only behind a proxy that is configured', async (t) => {
  const forged = (i: number) => ({ headers: { 'x-forwarded-for': `203.0.113.${i}` } })
  const bare = await openDoor(t)
  for (let i = 0; i < 100; i++) await bare.call('/public', forged(i))
  t.equal((await bare.call('/public', forged(200))).status, 429, 'it is nobody else')

  const behind = await openDoor(t, { trustProxy: ['192.0.2.1'] })
  for (let i = 0; i < 150; i++) t.equal((await behind.call('/public', forged(i))).status, 200)
  const one = { headers: { 'x-forwarded-for': '203.0.113.250' } }
  t.equal(await passes(behind, '/public', one), 100)
  const claim = { headers: { 'x-forwarded-for': '198.51.100.1, 203.0.113.250' } }
  t.equal((await behind.call('/public', claim)).status, 429, 'what the client says before it')
  const odd = (i: number) => ({ headers: { 'x-forwarded-for': `nobody-${i}` } })
  for (let i = 0; i < 100; i++) await behind.call('/public', odd(i))
  t.equal((await behind.call('/public', odd(100))).status, 429, 'what is no address is the proxy')
  const other = { ...one, from: '192.0.2.9' }
  for (let i = 0; i < 100; i++) await behind.call('/public', { ...forged(i), from: '192.0.2.9' })
  t.equal((await behind.call('/public', other)).status, 429, 'who is no proxy counts as itself')
})

t.test('all addresses of an IPv6 network count as one', async (t) => {
  const door = await openDoor(t)
  for (let i = 1; i <= 100; i++) {
    await door.call('/public', { from: `2001:db8:1:2:${i.toString(16)}::${i.toString(16)}` })
  }
  t.equal((await door.call('/public', { from: '2001:db8:1:2::' })).status, 429)
  t.equal((await door.call('/public', { from: '2001:db8:1:3::1' })).status, 200, 'the next one')
  t.equal(await passes(door, '/public', { from: '192.0.2.50' }), 100)
  const mapped = await door.call('/public', { from: '::ffff:192.0.2.50' })
  t.equal(mapped.status, 429, 'IPv4 by another name')
})

t.test('a webhook whose signature is right is never turned away', async (t) => {
  const door = await openDoor(t)
  const path = '/webhooks/stripe'
  const wrong = { method: 'POST', headers: { signature: 'wrong' } } as const
  const right = { method: 'POST', headers: { signature: 'right' } } as const
  t.equal(await passes(door, path, right), Number.POSITIVE_INFINITY)
  t.same(
    await statuses(door, 12, path, wrong),
    [400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 429, 429],
  )
  t.equal((await door.call(path, right)).status, 200, 'from the same address')
  t.equal((await door.call('/webhooks/creem', wrong)).status, 400, 'another provider')
  t.equal((await door.call(path, { ...wrong, from: '192.0.2.2' })).status, 400, 'another source')
  door.clock.ms += 1_000
  const late = { method: 'POST', headers: { signature: 'late' } } as const
  t.equal((await door.call(path, late)).status, 500, 'our own fault is not counted')
  const known = { method: 'POST', headers: { signature: 'known' } } as const
  t.equal((await door.call(path, known)).status, 409, 'nor what was verified and came too late')
  t.equal(await passes(door, path, wrong), 10)

  const foreign = { method: 'POST', as: 'me', headers: { signature: 'foreign' } } as const
  const stranger = await door.call('/webhooks/creem', { ...foreign, from: '192.0.2.3' })
  t.match(stranger, { status: 401, headers: { ratelimit: '"webhook";r=9;t=1' } })

  const strict = await openDoor(t, { environment: { RATE_LIMIT_WEBHOOK_VERIFIED: 'true' } })
  t.equal(await passes(strict, path, right), 10)
  t.equal(await passes(strict, '/webhooks/creem', wrong), 10, 'once each')
})

t.test('HEAD counts once, as the GET it stands for', async (t) => {
  const door = await openDoor(t)
  const { headers } = await door.app.inject({
    method: 'HEAD',
    url: '/search',
    headers: { authorization: `Bearer ${door.session('ada')}` },
  })
  t.equal(headers.ratelimit, '"search";r=29;t=60')
})

t.test('a limit is set by its setting alone', async (t) => {
  const door = await openDoor(t, { environment: { RATE_LIMIT_SEARCH: '2/1h' } })
  const as = door.session('ada')
  t.equal(await passes(door, '/search', { as }), 2)
  const refused = await door.call('/search', { as })
  t.match(refused.headers, { 'ratelimit-policy': '"search";q=2;w=3600', 'retry-after': '3600' })
  t.equal(await passes(door, '/api', { as }), 100)
})

t.test('a store that fails opens no limit, and is no 500', async (t) => {
  const noted: string[] = []
  const door = await openDoor(t, {
    limits: {
      store: {
        take: () => Promise.reject(new Error('nobody counts')),
        peek: () => Promise.reject(new Error('nobody counts')),
      },
      note: (name, outcome) => noted.push(`${name} ${outcome}`),
    },
  })
  const refused = await door.call('/search', { as: door.session('ada') })
  t.match(refused, { status: 503, headers: { 'retry-after': '1' }, body: { code: 'overloaded' } })
  t.notMatch(JSON.stringify(refused.body), 'nobody counts')
  t.same(noted, ['search failed'])
  const failed = await door.call('/search', { as: 'nonsense' })
  t.equal(failed.status, 503)
  t.equal((await door.call('/search', { as: door.key('shop') })).status, 200, 'nobody to count')
})

t.test('decisions are noted by policy and outcome', async (t) => {
  const noted: string[] = []
  const door = await openDoor(t, {
    environment: { RATE_LIMIT_SEARCH: '1/1m' },
    limits: { note: (name, outcome) => noted.push(`${name} ${outcome}`) },
  })
  const as = door.session('ada')
  await statuses(door, 2, '/search', { as })
  await door.call('/api', { as })
  await door.call('/api', { as: 'nonsense' })
  t.same(noted, ['search allowed', 'search refused', 'api allowed', 'auth allowed'])
})

t.test('a flood of identities frees nobody who goes on asking', async (t) => {
  const clock = { ms: 0 }
  const store = createMemoryRateLimit({ nowMs: () => clock.ms, maxKeys: 100 })
  const door = await openDoor(t, { limits: { store } })
  const as = door.session('ada')
  t.equal(await passes(door, '/search', { as }), 30)
  for (let i = 0; i < 1_000; i++) {
    await door.call('/public', { from: `198.51.${i >> 8}.${i & 255}` })
    if (i % 50 === 0) t.equal((await door.call('/search', { as })).status, 429)
  }
})
