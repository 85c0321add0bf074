import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ROOT } from '../helpers/cluster.js'
import { temporaryDirectory } from '../helpers/server.js'
import { openScene } from './kit.js'

const creditd = (t: Test, url: string, ...args: string[]) =>
  new Promise<{ code: number; out: string; err: string }>((resolve) => {
    const nodeArgs = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts')]
    const env = { PATH: process.env.PATH, NO_COLOR: '1', DATABASE_URL: url }
    execFile(
      process.execPath,
      [...nodeArgs, 'plans', 'allocate', ...args],
      { cwd: temporaryDirectory(t), env },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })

t.test('an operator allocates what is due by hand, and may look first', async (t) => {
  const scene = await openScene(t)
  const { pool } = scene.core.db
  for (const id of ['ada', 'bob', 'eve']) await scene.open(id)
  await pool.query(
    `insert into subscriptions (account_id, plan_id, status, anchor_at, next_allocation_at,
                                created_at, updated_at)
     select id, 'pro', 'active', now() - interval '1 s', now() - interval '1 s', now(), now()
       from accounts where id <> 'eve'`,
  )
  const dry = await creditd(t, scene.url, '--dry-run')
  t.equal(dry.code, 0, dry.err)
  t.match(dry.out, /^2 subscriptions due, 2 would be allocated to: 600 monthly and 0 bonus credits/)
  t.match(await scene.balance('ada'), { balance: 0 })
  const done = await creditd(t, scene.url, '--json')
  t.equal(done.code, 0, done.err)
  const counts = { subscriptions: 2, allocated: 2, failed: 0 }
  t.same(JSON.parse(done.out), { isDryRun: false, ...counts })
  t.match(await scene.balance('ada'), { balance: 300 })
  t.match(await scene.balance('eve'), { balance: 0 })
  const again = await creditd(t, scene.url)
  t.equal(again.out, '0 subscriptions due, 0 allocated, 0 failed\n')
  t.equal((await creditd(t, scene.url, '--dryrun')).code, 1, 'a mistyped option runs nothing')
  t.same(await scene.mismatches(), [])
})
