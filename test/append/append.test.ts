import assert from 'node:assert/strict'
import type pg from 'pg'
import { outside, SQL_GUARANTEES } from './guarantees.js'
import { withGround } from './kit.js'
import { readGateFirst, SQL_MUTANTS } from './sql-mutants.js'

withGround('ledger_append keeps the fine print', async (t, { url, pool, port }) => {
  for (const [index, guarantee] of SQL_GUARANTEES.entries()) {
    await t.test(`fine print ${guarantee.point}: ${guarantee.name}`, () =>
      guarantee.run({ url, pool, port, prefix: `g${index}` }),
    )
  }
})

const definition = async (pool: pg.Pool, name: string): Promise<string> => {
  const { rows } = await pool.query<{ text: string }>(
    'select pg_get_functiondef($1::regproc) as text',
    [name],
  )
  return rows[0]?.text ?? ''
}

withGround('a fault in ledger_append breaks a guarantee', async (t, { url, pool, port }) => {
  const texts = {
    ledger_append: await definition(pool, 'ledger_append'),
    ledger_fence: await definition(pool, 'ledger_fence'),
  }
  const replaced = SQL_MUTANTS.map(({ from, to, of = 'ledger_append', ...mutant }) => {
    assert.equal(texts[of].split(from).length, 2, `${mutant.name}: what it changes is there once`)
    return { ...mutant, text: texts[of].replace(from, () => to) }
  })
  const text = readGateFirst(texts.ledger_append)
  const gateFirst = { point: 1, name: 'the gate is read before the lock', text }
  for (const [index, mutant] of [...replaced, gateFirst].entries()) {
    await t.test(`fine print ${mutant.point} is missed when ${mutant.name}`, async (t) => {
      assert.ok(!Object.values(texts).includes(mutant.text))
      await pool.query(mutant.text)
      const broken: string[] = []
      const own = SQL_GUARANTEES.filter(({ point }) => point === mutant.point)
      for (const [i, { name, run }] of own.entries()) {
        const place = { url, pool, port, prefix: `m${index}-${i}` }
        await run(place).catch(() => broken.push(name))
      }
      for (const text of Object.values(texts)) await pool.query(text)
      for (const name of broken) t.comment(name)
      t.not(broken.length, 0)
      // What the fault has left is not of the real function.
      await outside({ url }, async (client) => {
        await client.query("set session_replication_role = 'replica'")
        await client.query('truncate accounts cascade')
        await client.query('truncate transactions_archive')
      })
    })
  }
})
