import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../helpers/cluster.js'

const drizzleKit = (...args: string[]): string =>
  execFileSync(join(ROOT, 'node_modules/.bin/drizzle-kit'), args, { cwd: ROOT, encoding: 'utf8' })

t.test('the migrations make what the tables in the code say', async (t) => {
  // inside the project: drizzle-kit takes its folder as relative
  const copy = join(ROOT, 'node_modules', '.cache', `migrations-${process.pid}`)
  t.teardown(() => rmSync(copy, { recursive: true, force: true }))
  cpSync(join(ROOT, 'migrations'), copy, { recursive: true })
  const before = readdirSync(copy)
  const out = `./node_modules/.cache/migrations-${process.pid}`
  const schema = './src/**/tables.ts'
  const said = drizzleKit('generate', '--dialect=postgresql', `--schema=${schema}`, `--out=${out}`)
  t.match(said, /No schema changes/)
  t.same(readdirSync(copy), before)
  t.match(drizzleKit('check', '--dialect=postgresql', `--out=${out}`), /Everything's fine/)
})
