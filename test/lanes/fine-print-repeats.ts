import assert from 'node:assert/strict'
import type { Lanes } from '../../src/ledger/lanes.js'
import type { Operation } from '../../src/ledger/model.js'
import type { Guarantee } from './fine-print.js'
import { amounts, answer, ask, charge, grant, open, request, type Stage } from './stage.js'

/** Asks all at once; gives their words and the calls it took. */
async function together(stage: Stage, lanes: Lanes, operations: readonly Operation[]) {
  stage.calls.length = 0
  const told = operations.map((operation) => ask(stage, lanes, operation))
  await stage.time.run()
  return { words: told.map(({ word }) => word), calls: stage.calls.map(({ name }) => name) }
}

const three = (word: string) => [word, word, word]
const hold = (amount: number): Operation => ({
  ...request(),
  kind: 'hold',
  action: null,
  ttlMs: 60_000,
  quote: () => ({ amount, detail: null }),
})
const release = (holdSeq: number): Operation => ({ ...request(), kind: 'release', holdSeq })

/** A process that knows the accounts a, b and c, and has just been asked for repeats. */
async function afterRepeats(stage: Stage) {
  await open(stage, 100, 'a', 'b', 'c')
  const lanes = stage.process()
  const charges = ['a', 'b', 'c'].map((id) => charge(1, id, `charge of ${id}`))
  await together(stage, lanes, charges)
  const first = await together(stage, lanes, charges)
  assert.deepEqual(first, { words: three('replayed'), calls: ['append', 'load'] })
  return { lanes, charges }
}

/** What holds while a lane expects repeats, and looks keys up first. */
export const REPEAT_POINTS: readonly Guarantee[] = [
  {
    point: 7,
    name: 'after many repeats keys are looked up first, and rows answer without an append',
    async run(stage) {
      const { lanes, charges } = await afterRepeats(stage)
      const again = await together(stage, lanes, charges)
      assert.deepEqual(again, { words: three('replayed'), calls: ['load'] })
      for (const id of ['a', 'b', 'c'])
        assert.deepEqual(amounts(stage.database.books(id)), [100, -1])
    },
  },
  {
    point: 7,
    name: 'among fresh operations a lane stops looking first',
    async run(stage) {
      const { lanes } = await afterRepeats(stage)
      const fresh = () => ['a', 'b', 'c'].map((id) => charge(2, id))
      const first = await together(stage, lanes, fresh())
      assert.deepEqual(first, { words: three('applied'), calls: ['load', 'append'] })
      const second = await together(stage, lanes, fresh())
      assert.deepEqual(second, { words: three('applied'), calls: ['append'] })
    },
  },
  {
    point: 2,
    name: 'a refusal beside repeats is proven, though only keys were looked up',
    async run(stage) {
      const { lanes, charges } = await afterRepeats(stage)
      await answer(stage, stage.process(), grant(1000, 'a'))
      const { words } = await together(stage, lanes, [...charges, charge(500, 'a')])
      assert.deepEqual(words, [...three('replayed'), 'applied'])
    },
  },
  {
    point: 2,
    name: 'a hold that was settled elsewhere is told as such, whoever else has the account read',
    async run(stage) {
      await open(stage, 100)
      const [here, elsewhere] = [stage.process(), stage.process()]
      const first = await answer(stage, here, hold(10))
      const second = await answer(stage, here, hold(10))
      const [one, two] = [first.outcome?.row?.seq ?? 0, second.outcome?.row?.seq ?? 0]
      assert.equal((await answer(stage, here, release(one))).word, 'applied')
      assert.equal((await answer(stage, elsewhere, release(two))).word, 'applied')
      // the first makes the account be read; of the second the kept state says that it is active
      const { words } = await together(stage, here, [release(one), release(two)])
      assert.deepEqual(words, ['hold_not_active', 'hold_not_active'])
    },
  },
  {
    point: 7,
    name: 'another request under a used key is refused from the row',
    async run(stage) {
      const { lanes, charges } = await afterRepeats(stage)
      const [first, ...others] = charges
      assert.ok(first)
      const { words } = await together(stage, lanes, [{ ...first, digest: 'another' }, ...others])
      assert.deepEqual(words, ['idempotency_key_reused', 'replayed', 'replayed'])
    },
  },
]
