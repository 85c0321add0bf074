import t from 'tap'
import { freshName, startGrounds } from './kit.js'

for (const ground of await startGrounds(t)) {
  t.test(`${ground.name}: values are read back in the order of their keys`, async (t) => {
    const [first, second] = [await ground.open(t), await ground.open(t)]
    const base = freshName()
    const keys = Array.from({ length: 50 }, (_none, index) => `${base}:${index}`)
    await first.cache.setMany(keys.map((key) => ({ key, value: `é ${key}`, ttlMs: 60_000 })))
    const wanted = [...keys.toReversed(), `${base}:none`]
    const values = [...keys.toReversed().map((key) => `é ${key}`), null]
    t.same(await second.cache.getMany(wanted), values)
    t.same(await second.cache.getMany([]), [])
  })

  t.test(`${ground.name}: a value leaves when its time is over`, async (t) => {
    const { cache } = await ground.open(t)
    const [short, long] = [freshName(), freshName()]
    await cache.setMany([
      { key: short, value: '1', ttlMs: 100 },
      { key: long, value: '2', ttlMs: 60_000 },
    ])
    t.same(await cache.getMany([short, long]), ['1', '2'])
    await new Promise((resolve) => setTimeout(resolve, 130))
    t.same(await cache.getMany([short, long]), [null, '2'])
  })

  t.test(`${ground.name}: deleting takes the keys that are named, and no others`, async (t) => {
    const { cache } = await ground.open(t)
    const [a, b, c] = [freshName(), freshName(), freshName()]
    await cache.setMany([a, b, c].map((key) => ({ key, value: 'x', ttlMs: 60_000 })))
    await cache.delete([a, c])
    t.same(await cache.getMany([a, b, c]), [null, 'x', null])
  })

  t.test(`${ground.name}: clearing takes what begins so, whatever the characters`, async (t) => {
    const { cache } = await ground.open(t)
    const base = `${freshName()}*[a-z]?\\`
    const keys = Array.from({ length: 1_200 }, (_none, index) => `${base}:${index}`)
    const others = [`${freshName()}`, base.replace('*', 'x'), base.slice(0, -1)]
    await cache.setMany([...keys, ...others].map((key) => ({ key, value: 'x', ttlMs: 60_000 })))
    t.equal(await cache.clear(`${base}:`), keys.length)
    t.same(await cache.getMany([keys[0] ?? '', ...others]), [null, 'x', 'x', 'x'])
    t.equal(await cache.clear(`${base}:`), 0)
  })
}
