import assert from 'node:assert/strict'
import type { Operation } from '../../src/ledger/model.js'
import type { Guarantee } from './fine-print.js'
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
  type Told,
} from './stage.js'

const isOpenEnded = ({ word }: Told) => word === 'applied' || word === 'outcome_unknown'
const words = (told: readonly Told[]): string[] => told.map(({ word }) => word)

/** Points 3, 4 and 6: lost replies, clocks, failures. */
export const FAULT_POINTS: readonly Guarantee[] = [
  {
    point: 3,
    name: 'an append that arrives late can not follow the refusal that replaced it',
    async run({ kit }) {
      let refusals = 0
      for (let lastsMs = 60; lastsMs < 300; lastsMs += 5) {
        const stage = createStage(kit)
        await open(stage, 0)
        await answer(stage, stage.process(), grant(50, 'a', lastsMs))
        const fate = (name: string, index: number) =>
          name === 'append' && index === 0 ? 'late' : undefined
        const here = stage.process({ fate, lateMs: 900, delayMs: 30 })
        const { word } = await answer(stage, here, charge(50))
        const isThere = stage.database.books('a').rows.some(({ type }) => type === 'charge')
        assert.equal(word === 'applied', isThere, `${word}, and it is there: ${isThere}`)
        const isFenced = stage.calls.some(({ name }) => name === 'fence')
        if (word === 'insufficient_credits' && isFenced) refusals += 1
      }
      assert.ok(refusals > 0, 'some were refused after the fence')
    },
  },
  {
    point: 3,
    name: 'an operation whose reply was lost is done once and acknowledged',
    async run(stage) {
      await open(stage, 100)
      const fate = (name: string, index: number) =>
        name === 'append' && index === 0 ? 'lostReply' : undefined
      const told = await answer(stage, stage.process({ fate }), charge(10))
      assert.equal(told.outcome?.row?.amount, -10)
      assert.deepEqual(amounts(stage.database.books('a')), [100, -10])
    },
  },
  {
    point: 3,
    name: 'what cannot be told in time is outcome_unknown, and told later by its key',
    async run(stage) {
      await open(stage, 100)
      const endMs = stage.time.nowMs() + 6000
      const fate = (name: string) => {
        if (name === 'append') return 'lostReply'
        return stage.time.nowMs() < endMs && name === 'fence' ? 'retry' : undefined
      }
      const asked = charge(10)
      assert.equal((await answer(stage, stage.process({ fate }), asked)).word, 'outcome_unknown')
      assert.equal((await answer(stage, stage.process(), asked)).word, 'replayed')
    },
  },
  {
    point: 3,
    name: 'nobody hears that nothing was done between the fence and the look-up',
    async run(stage) {
      await open(stage, 100)
      let isLost = false
      const fate = (name: string) => {
        if (name === 'append') {
          isLost = true
          return 'lostReply'
        }
        return isLost && name === 'load' ? 'retry' : undefined
      }
      const told = await answer(stage, stage.process({ fate }), charge(10))
      assert.equal(told.word, 'outcome_unknown')
    },
  },
  {
    point: 3,
    name: 'nobody is told of an absent account that a late append then opens and charges',
    async run({ kit }) {
      for (let firstMs = 100; firstMs < 500; firstMs += 20) {
        const stage = createStage(kit)
        const { time } = stage
        const fate = (name: string, index: number) => {
          if (name === 'fence') return time.nowMs() < 520 ? 'retry' : undefined
          return name === 'append' && index === 0 ? 'late' : undefined
        }
        const delayMs = () => (time.nowMs() === 0 ? firstMs : 10)
        const limits = { timeoutMs: 500 }
        const here = stage.process({ fate, delayMs, lateMs: 900, limits })
        // While that is looked up, two more come, and go into one batch.
        ask(stage, here, act('sweep', 'other'))
        await time.run(1)
        ask(stage, here, { ...request(), kind: 'open', signupBonus: 50 })
        await time.run(Math.min(300, firstMs - 20))
        const told = await answer(stage, here, charge(10))
        const isThere = amounts(stage.database.books('a')).includes(-10)
        assert.ok(!isThere || isOpenEnded(told), told.word)
      }
    },
  },
  {
    point: 3,
    name: 'nothing is done for whom the deadline has passed',
    async run(stage) {
      await open(stage, 100)
      const here = stage.process({ delayMs: 400, limits: { timeoutMs: 100 } })
      const told: Told[] = []
      for (let i = 0; i < 5; i += 1) told.push(await answer(stage, here, charge(1)))
      const done = amounts(stage.database.books('a')).length - 1
      assert.ok(done <= told.filter(isOpenEnded).length, `${words(told)}, and ${done} are there`)
    },
  },
  {
    point: 4,
    name: 'a clock that goes back stops nobody, and no row goes back with it',
    async run(stage) {
      await open(stage, 100, 'a', 'b')
      const here = stage.process()
      await answer(stage, here, charge(1))
      stage.database.jump(-3_600_000)
      const told = [ask(stage, here, charge(1)), ask(stage, here, charge(1, 'b'))]
      await stage.time.run()
      assert.deepEqual(words(told), ['applied', 'applied'])
      const times = stage.database.books('a').rows.map((row) => row.createdAtMs)
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      )
    },
  },
  {
    point: 4,
    name: 'a decision for another time is not written',
    async run(stage) {
      await open(stage, 0)
      const here = stage.process()
      await answer(stage, here, grant(50, 'a', 60_000))
      stage.database.jump(120_000)
      assert.equal((await answer(stage, here, charge(10))).word, 'insufficient_credits')
    },
  },
  {
    point: 6,
    name: 'one operation that can not be stored fails alone among 200',
    async run(stage) {
      await open(stage, 1000)
      const faults: string[] = []
      const here = stage.process({ onFault: ({ key }) => faults.push(key) })
      const asked = Array.from({ length: 200 }, () => charge(1))
      const [first] = asked
      assert.ok(first)
      asked[77] = { ...first, ...request(), metadata: { isPoison: true } } as Operation
      const told = asked.map((operation) => ask(stage, here, operation))
      const startMs = stage.time.nowMs()
      await stage.time.run()
      assert.deepEqual(
        words(told),
        asked.map((_, i) => (i === 77 ? 'internal' : 'applied')),
      )
      assert.deepEqual(faults, [asked[77]?.key])
      assert.ok(Math.max(...told.map(({ atMs }) => atMs)) - startMs < 1000)
    },
  },
  {
    point: 6,
    name: 'a deadlock or a start of the server is waited out, whole batches at a time',
    async run(stage) {
      await open(stage, 100)
      const fate = (name: string, index: number) =>
        name === 'append' && index < 3 ? 'retry' : undefined
      const here = stage.process({ fate })
      const told = Array.from({ length: 20 }, () => ask(stage, here, charge(1)))
      await stage.time.run()
      assert.deepEqual([...new Set(words(told))], ['applied'])
      const appends = stage.calls.filter(({ name }) => name === 'append')
      assert.equal(appends.length, 1 + 3 + 1, 'the opening, three refusals, the batch')
    },
  },
  {
    point: 6,
    name: 'a failure that lies in no operation is told to all at once, without splitting',
    async run(stage) {
      await open(stage, 1000)
      const faults: string[] = []
      const fate = (name: string) => (name === 'append' ? 'failed' : undefined)
      const here = stage.process({ fate, onFault: ({ key }) => faults.push(key) })
      const told = Array.from({ length: 200 }, () => ask(stage, here, charge(1)))
      await stage.time.run()
      assert.deepEqual([...new Set(words(told))], ['internal'])
      assert.equal(faults.length, 1)
      const appends = stage.calls.filter(({ name }) => name === 'append')
      assert.equal(appends.length, 1 + 1, 'the opening, and one batch')
    },
  },
  {
    point: 6,
    name: 'a database that takes no writes is told at once',
    async run(stage) {
      await open(stage, 100)
      const fate = (name: string) => (name === 'append' ? 'unavailable' : undefined)
      const startMs = stage.time.nowMs()
      const told = await answer(stage, stage.process({ fate }), charge(1))
      assert.equal(told.word, 'database_unavailable')
      assert.ok(told.atMs - startMs < 100)
      assert.equal((await answer(stage, stage.process(), act('freeze'))).word, 'applied')
    },
  },
]
