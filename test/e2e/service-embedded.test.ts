import t from 'tap'
import { openEmbedded } from './kit-ground.js'
import { runCases } from './kit-suite.js'
import { inputCases } from './suite-input.js'
import { moneyCases } from './suite-money.js'
import { onceCases } from './suite-once.js'
import { timeCases } from './suite-time.js'

t.test('one process on the embedded default', async (t) => {
  await runCases(t, await openEmbedded(t), [
    ...moneyCases,
    ...onceCases,
    ...timeCases,
    ...inputCases,
  ])
})
