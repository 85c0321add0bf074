import t from 'tap'
import { freshName, startGrounds } from './kit.js'

for (const ground of await startGrounds(t)) {
  t.test(`${ground.name}: what two processes add at once is all there`, async (t) => {
    const [first, second] = [await ground.open(t), await ground.open(t)]
    const [a, b] = [freshName(), freshName()]
    await Promise.all(
      Array.from({ length: 100 }, (_none, index) =>
        (index % 2 === 0 ? first : second).counters.add([
          { counter: a, by: 1 },
          { counter: b, by: -3 },
        ]),
      ),
    )
    t.same(await first.counters.read([b, a, freshName()]), [-300, 100, 0])
    await first.counters.set([{ counter: a, value: 7 }])
    await second.counters.add([{ counter: a, by: 1 }])
    t.same(await first.counters.read([a]), [8])
  })

  t.test(`${ground.name}: a board has the highest first, and equal ones by name`, async (t) => {
    const { counters } = await ground.open(t)
    const board = freshName()
    const scores = { zoe: 5, adam: 5, bob: 9, Carl: 5, é: 5, low: -2 }
    for (const [member, by] of Object.entries(scores)) await counters.score(board, member, by)
    await counters.score(board, 'low', 1)
    const all = ['bob', 'Carl', 'adam', 'zoe', 'é', 'low']
    t.same(
      (await counters.top(board, 10)).map(({ member }) => member),
      all,
    )
    t.same(await counters.top(board, 2), [
      { member: 'bob', score: 9 },
      { member: 'Carl', score: 5 },
    ])
    t.equal((await counters.top(board, 10)).at(-1)?.score, -1)
    t.same(await counters.top(freshName(), 10), [])
  })

  t.test(`${ground.name}: a member counts once, and many are estimated well`, async (t) => {
    const { counters } = await ground.open(t)
    const set = freshName()
    t.equal(await counters.distinct(set), 0)
    await counters.mark(set, ['a', 'b', 'a'])
    await counters.mark(set, ['b', 'c'])
    t.equal(await counters.distinct(set), 3)
    for (let page = 0; page < 20; page += 1) {
      const members = Array.from({ length: 1_000 }, (_none, index) => `member ${page}:${index}`)
      await counters.mark(set, members)
      await counters.mark(set, members)
    }
    const estimate = await counters.distinct(set)
    // four times the standard error
    t.ok(Math.abs(estimate - 20_003) < 0.033 * 20_003, `${estimate} of 20003`)
  })
}
