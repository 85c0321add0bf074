import t from 'tap'
import { openFresh } from '../helpers/database.js'

t.test('each test has a migrated database of its own', async (t) => {
  const one = await openFresh(t)
  const other = await openFresh(t)
  t.not(one.name, other.name)
  for (const db of [one, other]) {
    const { rows } = await db.pool.query('select count(*) as count from accounts')
    t.same(rows, [{ count: 0 }], 'empty, and counted in numbers')
  }
  await one.pool.query(`insert into tiers (id, level) values ('only here', 7)`)
  const { rowCount } = await other.pool.query(`select 1 from tiers where id = 'only here'`)
  t.equal(rowCount, 0)
})
