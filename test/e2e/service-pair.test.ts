import t from 'tap'
import { openPair } from './kit-ground.js'
import { runCases } from './kit-suite.js'
import { inputCases } from './suite-input.js'
import { moneyCases } from './suite-money.js'
import { onceCases } from './suite-once.js'
import { timeCases } from './suite-time.js'

t.test('two processes on one PostgreSQL database', async (t) => {
  await runCases(t, await openPair(t), [...moneyCases, ...onceCases, ...timeCases, ...inputCases])
})
