import assert from 'node:assert/strict'
import type { Flaw } from './fake-database.js'
import type { Kit } from './kit.js'
import {
  act,
  amounts,
  answer,
  ask,
  charge,
  createStage,
  grant,
  open,
  request,
  type Stage,
  type Told,
} from './stage.js'

/** One guarantee of the eight points; throws when it does not hold. */
export type Guarantee = {
  readonly point: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8
  readonly name: string
  run(stage: Stage): Promise<void>
}

export const tryGuarantee = (
  guarantee: Guarantee,
  kit: Kit,
  flaws?: ReadonlySet<Flaw>,
): Promise<void> => guarantee.run(createStage(kit, flaws))

export const FIRST_POINTS: readonly Guarantee[] = [
  {
    point: 1,
    name: 'a freeze elsewhere writes no row and is seen all the same',
    async run(stage) {
      await open(stage, 100)
      const [here, elsewhere] = [stage.process(), stage.process()]
      assert.equal((await answer(stage, here, charge(1))).word, 'applied')
      assert.equal((await answer(stage, elsewhere, act('freeze'))).word, 'applied')
      assert.equal((await answer(stage, here, charge(1))).word, 'account_frozen')
    },
  },
  {
    point: 1,
    name: 'a state of another epoch is no basis, though its version fits',
    async run(stage) {
      await open(stage, 100)
      const [here, elsewhere] = [stage.process(), stage.process()]
      stage.database.backUp()
      await answer(stage, here, charge(70))
      stage.database.restore()
      await answer(stage, elsewhere, charge(90))
      assert.equal((await answer(stage, here, charge(20))).word, 'insufficient_credits')
      assert.deepEqual(amounts(stage.database.books('a')), [100, -90])
    },
  },
  {
    point: 1,
    name: 'nor when the new epoch was learnt from a load of another account',
    async run(stage) {
      await open(stage, 100, 'a', 'b')
      const [here, elsewhere] = [stage.process(), stage.process()]
      stage.database.backUp()
      await answer(stage, here, charge(70))
      stage.database.restore()
      await answer(stage, elsewhere, charge(90))
      await answer(stage, here, charge(1, 'b'))
      assert.equal((await answer(stage, here, charge(20))).word, 'insufficient_credits')
      assert.deepEqual(amounts(stage.database.books('a')), [100, -90])
    },
  },
  {
    point: 1,
    name: 'an epoch that ends while another lane loads costs no account its existence',
    async run(stage) {
      await open(stage, 100, 'a', 'b', 'c', 'd', 'e', 'f')
      const here = stage.process({ limits: { lanes: 4 } })
      const ids = ['a', 'b', 'c', 'd', 'e', 'f']
      for (const id of ids) await answer(stage, here, charge(1, id))
      stage.database.backUp()
      stage.database.restore()
      const told = [...ids, ...ids].map((id, i) =>
        ask(stage, here, i < ids.length ? charge(1, id) : charge(1, `no ${id}`)),
      )
      await stage.time.run()
      const expected = [...ids.map(() => 'applied'), ...ids.map(() => 'account_not_found')]
      assert.deepEqual(
        told.map(({ word }) => word),
        expected,
      )
    },
  },
  {
    point: 1,
    name: 'nothing is written while the gate is closed',
    async run(stage) {
      await open(stage, 100)
      const here = stage.process()
      stage.database.setWritable(false)
      assert.equal((await answer(stage, here, charge(1))).word, 'maintenance')
      assert.deepEqual(amounts(stage.database.books('a')), [100])
      stage.database.setWritable(true)
      assert.equal((await answer(stage, here, charge(1))).word, 'applied')
    },
  },
  {
    point: 2,
    name: 'a refusal decided on a kept state is proven before it is told',
    async run(stage) {
      await open(stage, 10)
      const [here, elsewhere] = [stage.process(), stage.process()]
      await answer(stage, here, charge(5))
      await answer(stage, elsewhere, grant(100))
      assert.equal((await answer(stage, here, charge(50))).word, 'applied')
    },
  },
  {
    point: 2,
    name: 'a refusal by what was read before the request is not told',
    async run(stage) {
      await open(stage, 10)
      const elsewhere = stage.process()
      const told: Told[] = []
      const here = stage.process({
        onLoaded: () => told.push(ask(stage, elsewhere, grant(100))),
      })
      assert.equal((await answer(stage, here, charge(50))).word, 'insufficient_credits')
      assert.equal((await answer(stage, here, charge(50))).word, 'applied')
      assert.equal(told[0]?.word, 'applied')
    },
  },
  {
    point: 2,
    name: 'a state that leaves the cache while others load is not taken for absent',
    async run(stage) {
      await open(stage, 100, 'a', 'b', 'locked')
      const speed = { delayMs: 3 }
      const limits = { cachedParts: 2, timeoutMs: 10_000 }
      const here = stage.process({ limits, delayMs: () => speed.delayMs })
      stage.database.lock('locked', 'outside')
      ask(stage, here, charge(1, 'locked'))
      await stage.time.run(stage.time.nowMs() + 20)
      ask(stage, here, charge(1))
      await stage.time.run(stage.time.nowMs() + 20)
      speed.delayMs = 4000
      const told = ask(stage, here, charge(1))
      ask(stage, here, { ...request('b'), kind: 'refund', chargeSeq: 9, amount: 1, reason: null })
      await stage.time.run(stage.time.nowMs() + 1)
      speed.delayMs = 3
      stage.database.unlock('locked', 'outside')
      await stage.time.run()
      assert.equal(told.word, 'applied')
    },
  },
]
