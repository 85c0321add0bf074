import t from 'tap'
import { openEmbedded } from './kit-ground.js'
import { TIMEOUT_MS } from './kit-scene.js'
import { runCases } from './kit-suite.js'
import { inputCases } from './suite-input.js'
import { moneyCases } from './suite-money.js'
import { onceCases } from './suite-once.js'
import { timeCases } from './suite-time.js'

t.setTimeout(TIMEOUT_MS)

t.test('one process on the embedded default', { timeout: TIMEOUT_MS }, async (t) => {
  const ground = await openEmbedded(t)
  await runCases(t, ground, [...moneyCases, ...onceCases, ...timeCases, ...inputCases])
})
