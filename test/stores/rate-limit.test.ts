import t from 'tap'
import { EXACT_MAX } from '../../src/stores/rate-limit/store.js'
import { freshName, startGrounds } from './kit.js'

const LIMIT = { max: 100, windowMs: 60_000 }

for (const ground of await startGrounds(t)) {
  t.test(`${ground.name}: 300 at once on a limit of 100 from two processes`, async (t) => {
    const [first, second] = [await ground.open(t), await ground.open(t)]
    const key = freshName()
    const states = await Promise.all(
      Array.from({ length: 300 }, (_none, index) =>
        (index % 2 === 0 ? first : second).rateLimit.take(key, LIMIT, 1),
      ),
    )
    t.equal(states.filter(({ isAllowed }) => isAllowed).length, 100, 'exactly 100 pass')
    const left = states.filter(({ isAllowed }) => isAllowed).map(({ remaining }) => remaining)
    t.same(new Set(left).size, 100, 'each is told another number of what is left')
    t.match(await second.rateLimit.peek(key, LIMIT), { isAllowed: false, remaining: 0 })
  })

  t.test(`${ground.name}: the window slides`, async (t) => {
    const { rateLimit } = await ground.open(t)
    const limit = { max: 2, windowMs: 300 }
    const key = freshName()
    t.match(await rateLimit.take(key, limit, 1), { isAllowed: true, remaining: 1 })
    await wait(150)
    t.match(await rateLimit.take(key, limit, 1), { isAllowed: true, remaining: 0 })
    const refused = await rateLimit.take(key, limit, 1)
    t.equal(refused.isAllowed, false)
    t.ok(refused.retryAfterMs > 0 && refused.retryAfterMs <= 160, `${refused.retryAfterMs} ms`)
    t.equal(refused.resetMs, refused.retryAfterMs, 'the oldest unit is the one to wait for')
    await wait(refused.retryAfterMs + 2)
    t.equal((await rateLimit.take(key, limit, 1)).isAllowed, true, 'one has left')
    t.equal((await rateLimit.take(key, limit, 1)).isAllowed, false, 'and only one')
  })

  t.test(`${ground.name}: what is refused is not counted, and a cost is taken whole`, async (t) => {
    const { rateLimit } = await ground.open(t)
    const limit = { max: 5, windowMs: 60_000 }
    const key = freshName()
    t.match(await rateLimit.take(key, limit, 4), { isAllowed: true, remaining: 1 })
    const refused = await rateLimit.take(key, limit, 2)
    t.match(refused, { isAllowed: false, remaining: 1 })
    t.ok(refused.retryAfterMs > 59_000 && refused.retryAfterMs <= 60_000)
    t.match(await rateLimit.take(key, limit, 1), { isAllowed: true, remaining: 0 })
  })

  t.test(`${ground.name}: a look takes nothing`, async (t) => {
    const { rateLimit } = await ground.open(t)
    const key = freshName()
    const nothing = { isAllowed: true, remaining: 100, resetMs: 0, retryAfterMs: 0 }
    t.same(await rateLimit.peek(key, LIMIT), nothing)
    t.same(await rateLimit.peek(key, LIMIT), nothing)
    t.match(await rateLimit.take(key, LIMIT, 1), { remaining: 99 })
  })

  t.test(`${ground.name}: keys do not touch one another, long and odd ones neither`, async (t) => {
    const { rateLimit } = await ground.open(t)
    const limit = { max: 1, windowMs: 60_000 }
    const base = freshName()
    const long = base + 'x'.repeat(5_000)
    const keys = [base, `${base}:`, `{${base}}`, `${base}}{`, `${base}é☃`, long, `${long}y`]
    for (const key of keys) {
      t.equal((await rateLimit.take(key, limit, 1)).isAllowed, true, key.slice(0, 40))
      t.equal((await rateLimit.take(key, limit, 1)).isAllowed, false, key.slice(0, 40))
    }
  })

  t.test(`${ground.name}: a large limit is exact too, up to one step of time`, async (t) => {
    const { rateLimit } = await ground.open(t)
    const limit = { max: EXACT_MAX * 10, windowMs: 640 }
    const key = freshName()
    let taken = 0
    for (let i = 0; i < 20; i += 1) {
      if ((await rateLimit.take(key, limit, 100)).isAllowed) taken += 100
    }
    t.equal(taken, 1_200)
    const refused = await rateLimit.take(key, limit, 1_280)
    t.ok(refused.retryAfterMs > 0 && refused.retryAfterMs <= 650, `${refused.retryAfterMs} ms`)
    await wait(refused.retryAfterMs + 2)
    t.match(await rateLimit.take(key, limit, 1_280), { isAllowed: true, remaining: 0 })
  })
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
