import t from 'tap'
import { createRecent } from '../../src/stores/recent.js'

t.test('one failure on a quiet service is no rate, many are, or of many commands', async (t) => {
  const clock = { ms: 0 }
  const recent = createRecent(() => clock.ms)
  t.equal(recent.errorRate(), 0)
  recent.note(1, 1)
  recent.note(98, 3)
  t.equal(recent.errorRate(), 0, 'four of 99: too little to tell')
  recent.note(1, 0)
  t.equal(recent.errorRate(), 0.04, 'four of a hundred')
  clock.ms += 5 * 60_000
  t.equal(recent.errorRate(), 0, 'five minutes later they are forgotten')
  recent.note(5, 4)
  t.equal(recent.errorRate(), 0)
  recent.note(1, 1)
  t.equal(recent.errorRate(), 5 / 6, 'five failures tell, however few commands there are')
})
