import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { digestOf, newKey } from '../../src/ledger/ids.js'
import type { Ledger } from '../../src/ledger/ledger.js'
import { verify } from '../../src/ledger/verify.js'
import { type CampaignArgs, campaignOf } from '../../src/operations/campaign.js'
import {
  type GrantExistingDeps,
  grantExisting,
  PAGE_ACCOUNTS,
} from '../../src/operations/grant-existing.js'
import { openApp, type TestApp } from '../helpers/app.js'
import { ROOT } from '../helpers/cluster.js'
import { freshDatabase } from '../helpers/database.js'
import { temporaryDirectory } from '../helpers/server.js'

/** The command line, with this environment and no other. */
const creditd = (t: Test, url: string, ...args: string[]) => runWith(t, { DATABASE_URL: url }, args)

const runWith = (t: Test, settings: Record<string, string>, args: readonly string[]) => {
  const nodeArgs = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts')]
  const env = { PATH: process.env.PATH, NO_COLOR: '1', ...settings }
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile(
      process.execPath,
      [...nodeArgs, 'grant-existing', ...args],
      { cwd: temporaryDirectory(t), env },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

const campaign = (args: Partial<CampaignArgs> = {}) =>
  campaignOf({ amount: '100', source: 'bonus', ...args })

const depsOf = ({ core }: TestApp, more: Partial<GrantExistingDeps> = {}): GrantExistingDeps => ({
  pool: core.db.pool,
  ledger: core.ledger,
  isDryRun: false,
  onProgress: () => {},
  ...more,
})

const act = (ledger: Ledger, accountId: string, what: object) =>
  ledger.submit({
    ...{ accountId, key: newKey(), digest: digestOf('test'), actor: 'test' },
    ...{ requestId: null, metadata: null },
    ...(what as { kind: 'close' }),
  })

const openMany = (app: TestApp, count: number) =>
  Promise.all(
    Array.from({ length: count }, (_, i) =>
      act(app.core.ledger, `u${i}`, { kind: 'open', signupBonus: 0 }),
    ),
  )

/** How many accounts have how many rows of campaigns, and what the accounts have together. */
const books = async ({ core }: TestApp) => {
  const { rows } = await core.db.pool.query<{ most: number; rows: number; balance: number }>(`
    select coalesce(max(n), 0) as most, coalesce(sum(n), 0)::bigint as rows,
           (select sum(balance)::bigint from accounts) as balance
      from (select count(*) as n from ledger_rows
             where type = 'grant' and detail ->> 'reason' like 'grant-existing: %'
             group by account_id) c`)
  return rows[0]
}

const agree = async (t: Test, { core }: TestApp) =>
  t.same((await verify(core.db.pool, null)).mismatches, [], 'the books agree')

t.test('run twice it grants once, and a second campaign grants again', async (t) => {
  const app = await openApp(t)
  await openMany(app, 3)
  t.match(await creditd(t, app.url, '--amount', '100', '--dry-run'), {
    code: 0,
    out: '3 accounts: 3 would be granted, 0 granted before, 0 skipped, 0 failed\n',
  })
  t.same(await books(app), { most: 0, rows: 0, balance: 0 }, 'a dry run writes nothing')
  const first = await creditd(t, app.url, '--amount', '100', '--json')
  t.equal(first.code, 0, first.err)
  t.equal(first.err, '')
  t.match(JSON.parse(first.out), { accounts: 3, granted: 3, replayed: 0, skipped: 0, failed: 0 })
  t.match(await creditd(t, app.url, '--amount', '100'), {
    code: 0,
    out: '3 accounts: 0 granted, 3 granted before, 0 skipped, 0 failed\n',
  })
  t.same(await books(app), { most: 1, rows: 3, balance: 300 })
  const second = await creditd(t, app.url, '--amount', '100', '--name', 'spring', '--json')
  t.match(JSON.parse(second.out), { name: 'spring', granted: 3 })
  t.same(await books(app), { most: 2, rows: 6, balance: 600 })
  const other = await creditd(t, app.url, '--amount', '5', '--name', 'spring')
  t.match(other, { code: 1, err: /conflict: the campaign "spring" was run with other parameters/ })
  t.same(await books(app), { most: 2, rows: 6, balance: 600 }, 'a conflict grants nothing')
  await agree(t, app)
})

t.test('a conflict in one account keeps new accounts from being granted to', async (t) => {
  const app = await openApp(t)
  await app.open('zed')
  await grantExisting(depsOf(app), campaign({ name: 'x' }))
  await app.open('ann')
  const other = campaign({ name: 'x', 'expires-at': '2999-01-01T00:00:00Z' })
  await t.rejects(grantExisting(depsOf(app), other), { message: /conflict.*zed/ })
  t.equal((await app.core.ledger.read('ann'))?.balance, 0)
})

t.test('only-zero leaves out who has credits, counts what is due as gone', async (t) => {
  const app = await openApp(t)
  const { ledger } = app.core
  await app.open('empty')
  await app.open('rich', 5)
  await app.open('due')
  const lot = { kind: 'grant', amount: 9, source: 'bonus', priority: 50, reason: null }
  const expiresAtMs = ledger.now() + 30
  await act(ledger, 'due', { ...lot, expiresAtMs })
  while (ledger.now() <= expiresAtMs) await app.core.db.pool.query('select pg_sleep(0.02)')
  const zero = campaign({ 'only-zero': true })
  t.match(await grantExisting(depsOf(app), zero), { granted: 2, skipped: 1, failed: 0 })
  t.match(await grantExisting(depsOf(app), zero), { granted: 0, replayed: 2, skipped: 1 })
  await act(ledger, 'empty', { kind: 'adjustment', amount: -100, reason: 'spent' })
  t.match(await grantExisting(depsOf(app), zero), { granted: 0, replayed: 2 }, 'empty once more')
  t.equal((await ledger.read('empty'))?.balance, 0)
  t.equal((await ledger.read('due'))?.balance, 100)
  t.equal((await ledger.read('rich'))?.balance, 5)
  await agree(t, app)
})

t.test('beside charges of a running service, two at once grant once', async (t) => {
  const app = await openApp(t)
  const other = await openApp(t, { url: app.url })
  const count = 40
  await openMany(app, count)
  await grantExisting(depsOf(app), campaign({ name: 'start' }))
  const charge = { kind: 'charge', action: null, quote: () => ({ amount: 1, detail: null }) }
  const charging = Array.from({ length: count * 5 }, (_, i) =>
    act(app.core.ledger, `u${i % count}`, charge),
  )
  const [one, two, command] = await Promise.all([
    grantExisting(depsOf(app), campaign()),
    grantExisting(depsOf(other), campaign()),
    creditd(t, app.url, '--amount', '100', '--json'),
    Promise.all(charging),
  ])
  const three = JSON.parse(command.out)
  t.equal(one.granted + two.granted + three.granted, count)
  t.equal(one.replayed + two.replayed + three.replayed, 2 * count)
  t.equal(one.failed + two.failed + three.failed, 0)
  t.same(await books(app), { most: 2, rows: 2 * count, balance: count * 195 })
  await agree(t, app)
})

t.test('what a crash after the first page left is granted by the next run', async (t) => {
  const app = await openApp(t)
  const count = PAGE_ACCOUNTS + 50
  await openMany(app, count)
  const onProgress = () => {
    throw new Error('crash')
  }
  await t.rejects(grantExisting(depsOf(app, { onProgress }), campaign()), { message: 'crash' })
  t.same(await books(app), { most: 1, rows: PAGE_ACCOUNTS, balance: PAGE_ACCOUNTS * 100 })
  const seen: number[] = []
  const watching = { onProgress: ({ accounts }: { accounts: number }) => seen.push(accounts) }
  const deps = depsOf(app, watching as Partial<GrantExistingDeps>)
  const report = await grantExisting(deps, campaign())
  t.match(report, { accounts: count, granted: 50, replayed: PAGE_ACCOUNTS, isComplete: true })
  t.same(seen, [PAGE_ACCOUNTS, count])
  t.same(await books(app), { most: 1, rows: count, balance: count * 100 })
  await agree(t, app)
})

t.test('a short queue of the service does not stop the command', async (t) => {
  const app = await openApp(t)
  await openMany(app, 20)
  const env = { DATABASE_URL: app.url, LEDGER_QUEUE_LIMIT: '1', DATABASE_POOL_SIZE: '3' }
  t.match(await runWith(t, env, ['--amount', '1']), { code: 0, out: /^20 accounts: 20 granted/ })
})

t.test('frozen accounts are granted to, closed ones skipped, full ones reported', async (t) => {
  const app = await openApp(t)
  const { ledger } = app.core
  for (const id of ['frozen', 'closed', 'full', 'plain']) await app.open(id)
  await act(ledger, 'frozen', { kind: 'freeze' })
  await act(ledger, 'closed', { kind: 'close' })
  await app.call('POST', '/v1/accounts/full/grants', { amount: Number.MAX_SAFE_INTEGER })
  const report = await grantExisting(depsOf(app), campaign())
  t.match(report, { accounts: 4, granted: 2, skipped: 1, failed: 1, isComplete: true })
  t.match(report.failures, [{ accountId: 'full', code: 'limit_exceeded' }])
  t.equal((await ledger.read('frozen'))?.balance, 100)
  t.equal((await ledger.read('closed'))?.balance, 0)
  const command = await creditd(t, app.url, '--amount', '100')
  t.match(command, { code: 1, out: /^full: limit_exceeded: .*\n4 accounts: 0 granted, 2 granted/ })
  await agree(t, app)
})

t.test('when the ledger can not be written it stops after the page, and says so', async (t) => {
  const app = await openApp(t)
  await openMany(app, PAGE_ACCOUNTS + 1)
  await app.core.ledger.close()
  const report = await grantExisting(depsOf(app), campaign())
  t.match(report, { accounts: PAGE_ACCOUNTS, failed: PAGE_ACCOUNTS, isComplete: false })
  t.equal(report.failures.length, 20)
})

t.test('the credits expire when it was said, from the source that was said', async (t) => {
  const app = await openApp(t)
  await app.open('ann')
  const args = { source: 'monthly', 'expires-at': '2999-01-31T00:00:00+01:00' }
  await grantExisting(depsOf(app), campaign(args))
  const [lot] = await app.core.reads.grants('ann', { beforeSeq: null, limit: 1 })
  t.match(lot, { source: 'monthly', amount: 100, expiresAtMs: Date.UTC(2999, 0, 30, 23) })
  const past = campaign({ 'expires-at': '2020-01-01T00:00:00Z' })
  await t.rejects(grantExisting(depsOf(app), past), { message: /must lie in the future/ })
})

t.test('bad arguments are refused', async (t) => {
  const bad: [Partial<CampaignArgs>, RegExp][] = [
    ...['0', '1.5', '1e3', '', '9007199254740992', 'ten'].map(
      (amount): [Partial<CampaignArgs>, RegExp] => [{ amount }, /^--amount must be/],
    ),
    [{ source: 'gift' }, /^--source must be one of monthly, bonus, purchased/],
    [{ source: 'monthly' }, /needs --expires-at/],
    [{ name: '' }, /^--name must be/],
    [{ name: 'x'.repeat(101) }, /^--name must be/],
    ...['soon', '2999-01-01', '2999-02-30T00:00:00Z', '2999-01-01T25:00:00Z'].map(
      (text): [Partial<CampaignArgs>, RegExp] => [{ 'expires-at': text }, /^--expires-at must be/],
    ),
  ]
  for (const [args, message] of bad) t.throws(() => campaign(args), { message })
  const { url } = await freshDatabase(t)
  t.match(await creditd(t, url, '--amount', 'x'), { code: 1, err: /--amount must be/ })
  t.equal((await creditd(t, url)).code, 1, 'no amount')
  const mistyped = await creditd(t, url, '--amount', '1', '--only-zeros')
  t.match(mistyped, { code: 1, err: /unknown option --only-zeros/ })
  t.match(await creditd(t, url, '--amount=7', '--only-zero'), { code: 0, out: /^0 accounts: 0/ })
})
