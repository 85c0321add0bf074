import t from 'tap'
import { realKit } from './kit.js'
import { play } from './scenario.js'

// LANES_SEED=… plays one seed again, LANES_RUNS=… more or fewer of them.
const first = Number(process.env.LANES_SEED ?? Date.now() % 2 ** 31)
const runs = Number(process.env.LANES_RUNS ?? (process.env.LANES_SEED ? 1 : 1000))

t.test('every promise holds in any weather', async (t) => {
  t.comment(`LANES_SEED=${first} LANES_RUNS=${runs}`)
  for (let seed = first; seed < first + runs; seed += 1) {
    try {
      await play(seed, realKit)
    } catch (error) {
      t.comment(`LANES_SEED=${seed} plays it again`)
      throw error
    }
  }
})
