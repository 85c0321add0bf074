import assert from 'node:assert/strict'
import { MAX_ALONE } from '../../src/ledger/lane-alone.js'
import type { Guarantee } from './fine-print.js'
import { amounts, answer, ask, charge, grant, open, type Stage, type Told } from './stage.js'

const words = (told: readonly Told[]): string[] => told.map(({ word }) => word)
const callsOf = ({ calls }: Stage, name: string) => calls.filter((call) => call.name === name)

/** Points 5, 7 and 8: contention, keys, back-pressure. */
export const CROWD_POINTS: readonly Guarantee[] = [
  {
    point: 5,
    name: 'a locked account keeps nobody else waiting, and goes on when it is free',
    async run(stage) {
      await open(stage, 1000, 'a', 'b')
      const here = stage.process()
      const startMs = stage.time.nowMs()
      stage.database.lock('a', 'outside')
      const told = ask(stage, here, charge(1, 'a'))
      for (let i = 0; i < 50; i += 1) {
        const sentMs = stage.time.nowMs()
        const other = ask(stage, here, charge(1, 'b'))
        await stage.time.run(sentMs + 40)
        assert.equal(other.word, 'applied')
        assert.ok(other.atMs - sentMs <= 30, 'as quick as if nothing were locked')
      }
      assert.equal(told.word, 'nothing yet')
      assert.ok(stage.calls.length < 300, 'and nobody asks without end')
      stage.time.after(0, () => stage.database.unlock('a', 'outside'))
      await stage.time.run(startMs + 2500)
      assert.equal(told.word, 'applied')
    },
  },
  {
    point: 5,
    name: 'what somebody keeps of one account stops nobody else of its batch',
    async run(stage) {
      await open(stage, 1000, 'a', 'b', 'c')
      let isKept = true
      const fate = (name: string, _index: number, accountIds: readonly string[]) =>
        isKept && name === 'append' && accountIds.includes('a') ? 'locked' : undefined
      const here = stage.process({ fate })
      const told = ['a', 'b', 'c'].map((id) => ask(stage, here, charge(1, id)))
      await stage.time.run(stage.time.nowMs() + 1000)
      assert.deepEqual(words(told), ['nothing yet', 'applied', 'applied'])
      isKept = false
      await stage.time.run()
      assert.deepEqual(words(told), ['applied', 'applied', 'applied'])
    },
  },
  {
    point: 5,
    name: 'whoever is always overtaken is done alone, under the row lock',
    async run(stage) {
      await open(stage, 1000)
      const rival = stage.process({ delayMs: 0 })
      const here = stage.process({
        limits: { timeoutMs: 3000 },
        onLoaded: () => ask(stage, rival, grant(1)),
      })
      const told = await answer(stage, here, charge(1))
      assert.equal(told.word, 'applied')
      assert.ok(callsOf(stage, 'alone').length > 0)
    },
  },
  {
    point: 5,
    name: 'many locked accounts do not take all connections',
    async run(stage) {
      const ids = Array.from({ length: 40 }, (_, i) => `a${i}`)
      await open(stage, 100, ...ids)
      const here = stage.process()
      for (const id of ids) stage.database.lock(id, 'outside')
      const told = ids.map((id) => ask(stage, here, charge(1, id)))
      const fromMs = stage.time.nowMs() + 20
      await stage.time.run(fromMs + 250)
      assert.ok(callsOf(stage, 'alone').length <= 2 * MAX_ALONE)
      for (const id of ids) stage.database.unlock(id, 'outside')
      await stage.time.run()
      assert.deepEqual([...new Set(words(told))], ['applied'])
    },
  },
  {
    point: 7,
    name: 'a second use of a key within a batch waits for the first',
    async run(stage) {
      await open(stage, 100)
      const here = stage.process()
      const asked = charge(10, 'a', 'once')
      const told = [asked, asked].map((operation) => ask(stage, here, operation))
      await stage.time.run()
      assert.deepEqual(words(told), ['applied', 'replayed'])
      assert.deepEqual(told[1]?.outcome?.row, told[0]?.outcome?.row)
      assert.equal(callsOf(stage, 'append').length, 2, 'the opening, and one for both')
    },
  },
  {
    point: 7,
    name: 'the second use is decided anew when the first was refused',
    async run(stage) {
      await open(stage, 100)
      const here = stage.process()
      const [large, small] = [charge(500, 'a', 'again'), charge(5, 'a', 'again')]
      const told = [large, small].map((operation) => ask(stage, here, operation))
      await stage.time.run()
      assert.deepEqual(words(told), ['insufficient_credits', 'applied'])
    },
  },
  {
    point: 7,
    name: '100 uses of a key at once cost no more than a few calls',
    async run(stage) {
      await open(stage, 100)
      const here = stage.process()
      const asked = charge(10, 'a', 'hundred')
      const told = Array.from({ length: 100 }, () => ask(stage, here, asked))
      const before = stage.calls.length
      await stage.time.run()
      assert.equal(words(told).filter((word) => word === 'applied').length, 1)
      assert.equal(words(told).filter((word) => word === 'replayed').length, 99)
      assert.ok(stage.calls.length - before <= 4)
    },
  },
  {
    point: 7,
    name: 'a repeat comes before funds; another body under the key is refused',
    async run(stage) {
      await open(stage, 10)
      const [here, elsewhere] = [stage.process(), stage.process()]
      const asked = charge(10, 'a', 'all of it')
      assert.equal((await answer(stage, here, asked)).word, 'applied')
      const told = await answer(stage, elsewhere, asked)
      assert.equal(told.word, 'replayed')
      assert.equal((await answer(stage, here, asked)).word, 'replayed')
      const other = { ...charge(1, 'a', 'all of it'), digest: 'another body' }
      assert.equal((await answer(stage, here, other)).word, 'idempotency_key_reused')
      assert.deepEqual(amounts(stage.database.books('a')), [10, -10])
    },
  },
  {
    point: 8,
    name: 'more operations than the queue takes are turned away at once',
    async run(stage) {
      await open(stage, 1000)
      const here = stage.process({ limits: { queueOperations: 50 } })
      const told = Array.from({ length: 80 }, () => ask(stage, here, charge(1)))
      await stage.time.run()
      assert.equal(words(told).filter((word) => word === 'applied').length, 50)
      assert.equal(words(told).filter((word) => word === 'overloaded').length, 30)
      assert.deepEqual(amounts(stage.database.books('a')).length, 51)
    },
  },
  {
    point: 8,
    name: 'nobody waits beyond the deadline, and what waited too long is not done',
    async run(stage) {
      await open(stage, 1000)
      const limits = { batchOperations: 1, timeoutMs: 200 }
      const here = stage.process({ limits, delayMs: 40 })
      const startMs = stage.time.nowMs()
      const told = Array.from({ length: 100 }, () => ask(stage, here, charge(1)))
      await stage.time.run()
      assert.ok(told.every(({ atMs }) => atMs - startMs <= 251))
      const open_ = words(told).filter((word) => word !== 'overloaded')
      assert.ok(words(told).includes('overloaded'))
      assert.ok(amounts(stage.database.books('a')).length - 1 <= open_.length)
    },
  },
]
