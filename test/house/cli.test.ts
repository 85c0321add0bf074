import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { ROOT } from '../helpers/cluster.js'
import { emptyDatabase, freshDatabase, type TestContext } from '../helpers/database.js'
import { closedPort } from '../helpers/fake-postgres.js'
import { startService, temporaryDirectory } from '../helpers/server.js'

type Result = { code: number; out: string; err: string }

/** The command line in a directory of its own, with this environment and no other. */
const creditd = (
  t: TestContext,
  env: Record<string, string>,
  ...args: string[]
): Promise<Result> => {
  const nodeArgs = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts')]
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...nodeArgs, ...args],
      { cwd: temporaryDirectory(t), env: { PATH: process.env.PATH, NO_COLOR: '1', ...env } },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

const query = async (url: string, text: string) => {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

t.test('config prints what is in effect, and no secret', async (t) => {
  const env = { DATABASE_URL: 'postgres://u:hunter2@h/db', PORT: '8080' }
  const { code, out } = await creditd(t, env, 'config')
  t.equal(code, 0)
  t.match(out, /^PORT +8080$/m)
  t.match(out, /^LOG_LEVEL +info {2}\(default\)$/m)
  t.notMatch(out, 'hunter2')
  const json = JSON.parse((await creditd(t, env, 'config', '--json')).out)
  t.equal(json.DATABASE_URL, 'postgres://u@h:5432/db')
})

t.test('what is wrong with the settings is told at once, with exit code 1', async (t) => {
  const result = await creditd(t, { PORT: 'x', LOG_LEVEL: 'loud' }, 'config')
  t.equal(result.code, 1)
  t.match(result.err, /creditd: the configuration is not valid:\n {2}PORT .*\n {2}LOG_LEVEL /)
})

t.test('a .env file is read, and the environment wins', async (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, '.env'), 'PORT=8081\nHOST=127.0.0.1\n')
  const { stdout } = await new Promise<{ stdout: string }>((resolve) => {
    const args = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts'), 'config']
    const env = { PATH: process.env.PATH, PORT: '8082' }
    execFile(process.execPath, args, { cwd: directory, env }, (_error, stdout) =>
      resolve({ stdout }),
    )
  })
  t.match(stdout, /^PORT +8082$/m)
  t.match(stdout, /^HOST +127\.0\.0\.1$/m)
})

t.test('what goes into a pipe has no colours', async (t) => {
  for (const NO_COLOR of ['', 'yes']) {
    const help = await creditd(t, { NO_COLOR }, '--help')
    t.match(help.out, 'redis:check')
    const wrong = await creditd(t, { NO_COLOR }, 'db:destroy')
    t.match(wrong.err, 'db:destroy')
    t.notMatch(help.out + help.err + wrong.out + wrong.err, '\u001b')
  }
})

t.test('unknown commands and options are refused', async (t) => {
  t.equal((await creditd(t, {}, 'db:destroy')).code, 1)
  const { code, err } = await creditd(t, {}, 'db:down', '--step', '3')
  t.equal(code, 1)
  t.match(err, 'unknown option --step')
})

t.test('db:check passes on a good database, for people and for programs', async (t) => {
  const { url } = await freshDatabase(t)
  const human = await creditd(t, { DATABASE_URL: url }, 'db:check')
  t.equal(human.code, 0, human.out)
  t.match(human.out, /^ok +migrations +\d+ applied$/m)
  t.match(human.out, /^WARNING +durability +fsync=off/m, 'the cluster of the tests is not durable')
  const json = JSON.parse((await creditd(t, { DATABASE_URL: url }, 'db:check', '--json')).out)
  t.equal(json.ok, true)
  t.ok(json.checks.length >= 8)
})

t.test('db:check fails on a database that is away, behind, read-only or changed', async (t) => {
  const failing = async (url: string, detail: RegExp) => {
    const env = { DATABASE_URL: url, DATABASE_WAIT_MS: '0' }
    const { code, out } = await creditd(t, env, 'db:check')
    t.equal(code, 1)
    t.match(out, detail)
  }
  await failing(`postgres://u@127.0.0.1:${await closedPort()}/db`, /^FAILED +connection/m)
  await failing((await emptyDatabase(t)).url, /^FAILED +migrations +0 applied, pending: 0000_/m)
  const { url, name } = await freshDatabase(t)
  await query(url, `update __drizzle_migrations set hash = 'x' where id = 1`)
  await failing(url, /^FAILED +migrations +changed after they were applied: 0000_tables/m)
  await query(url, `alter database ${name} set default_transaction_read_only = on`)
  await failing(url, /^FAILED +writable +it is set to read only/m)
})

t.test('migrations go up, tell where they are, and come down', async (t) => {
  const { url } = await emptyDatabase(t)
  const env = { DATABASE_URL: url }
  t.equal((await creditd(t, env, 'db:status')).code, 1, 'pending')
  t.match((await creditd(t, env, 'db:migrate')).out, /applied 0000_tables\n/)
  t.equal((await creditd(t, env, 'db:migrate')).out, 'nothing to do\n')
  const status = await creditd(t, env, 'db:status')
  t.equal(status.code, 0)
  t.notMatch(status.out, /pending|no way back/)
  const down = await creditd(t, env, 'db:down', '--steps', '2', '--yes', '--json')
  t.equal(JSON.parse(down.out).takenBack.length, 2)
  t.equal((await creditd(t, env, 'db:status')).code, 1)
})

t.test('in production, taking back must be confirmed and a reset is refused', async (t) => {
  const { url } = await freshDatabase(t)
  const env = { DATABASE_URL: url, NODE_ENV: 'production' }
  t.match(await creditd(t, env, 'db:down'), { code: 1, err: /say --yes/ })
  t.match(await creditd(t, env, 'db:reset', '--yes'), { code: 1, err: /refused in production/ })
  t.equal((await query(url, 'select from accounts')).length, 0, 'the tables are there')
})

t.test('a reset empties the database, also one whose migrations changed', async (t) => {
  const { url } = await freshDatabase(t)
  await query(url, `insert into tiers (id, level) values ('mine', 5)`)
  await query(url, `update __drizzle_migrations set hash = 'edited'`)
  const env = { DATABASE_URL: url }
  t.match(await creditd(t, env, 'db:reset'), { code: 1, err: /say --yes/ })
  t.match(await creditd(t, env, 'db:reset', '--yes'), { code: 0, out: /migrations applied/ })
  t.same(await query(url, `select 1 from tiers where id = 'mine'`), [])
  t.equal((await creditd(t, env, 'db:status')).code, 0)
})

t.test('a reset spares what is not ours, and what has live keys', async (t) => {
  const shared = await freshDatabase(t)
  await query(shared.url, 'create table somebody_elses (n int)')
  const refused = await creditd(t, { DATABASE_URL: shared.url }, 'db:reset', '--yes')
  t.match(refused, { code: 1, err: /not creditd's: somebody_elses/ })
  const live = await freshDatabase(t)
  await query(
    live.url,
    `insert into api_keys (id, name, prefix, digest, scopes, created_at)
     values ('k', 'k', 'ck_live_abcd', 'd', '{admin}', now())`,
  )
  const again = await creditd(t, { DATABASE_URL: live.url }, 'db:reset', '--yes')
  t.match(again, { code: 1, err: /has served in production/ })
})

t.test('keys create makes a key that the service accepts', async (t) => {
  const { url } = await freshDatabase(t)
  const env = { DATABASE_URL: url }
  t.match(await creditd(t, env, 'keys', 'create', '--name', 'x', '--scopes', 'everything'), {
    code: 1,
    err: /unknown scope everything/,
  })
  t.match(await creditd(t, env, 'keys', 'create', '--name', 'x', '--limit', '9'), {
    code: 1,
    err: /--limit must be a number from 1 to 1000000, a slash and a time/,
  })
  const rights = ['--scopes', 'credits:read', '--limit', '9/2m']
  const made = await creditd(t, env, 'keys', 'create', '--name', 'x', ...rights)
  const key = made.out.trim()
  t.match(key, /^ck_test_[\w-]{43}$/)
  t.same(await query(url, `select 1 from api_keys where digest like '%${key.slice(-8)}%'`), [])
  const service = await startService(t, env)
  const headers = { authorization: `Bearer ${key}` }
  const listed = await service.call('GET', '/v1/accounts', undefined, headers)
  t.equal(listed.status, 200)
  t.equal(listed.headers.get('ratelimit-policy'), '"key";q=9;w=120')
  t.equal((await service.call('PUT', '/v1/accounts/a', {}, headers)).status, 403)
})

t.test('keys list and keys revoke show and end keys, for people and for programs', async (t) => {
  const { url } = await freshDatabase(t)
  const env = { DATABASE_URL: url }
  const keys = (...args: string[]) => creditd(t, env, 'keys', ...args)
  t.match(await keys('list'), { code: 0, out: 'no API keys\n' })
  const root = JSON.parse((await keys('create', '--name', 'root', '--json')).out)
  const scopes = 'credits:read,credits:read,invites:write'
  const made = await keys('create', '--name', 'chat', '--scopes', scopes, '--days', '3', '--json')
  const chat = JSON.parse(made.out)
  t.match(made.err, /invites:write opens nothing yet/, 'what is still to come is said')

  const listed = await keys('list')
  t.equal(listed.code, 0)
  const lines = listed.out.trim().split('\n')
  t.equal(lines.length, 2, 'one a line, newest first')
  t.match(lines[0], new RegExp(`^${chat.id} .* active .*credits:read,invites:write .* chat$`))
  t.match(lines[0], `${chat.key.slice(0, 12)}…`)
  for (const { key } of [root, chat]) t.notMatch(listed.out, key, 'never the key itself')

  const revoked = await keys('revoke', chat.id)
  t.match(revoked, { code: 0, out: new RegExp(`^revoked ${chat.id} .*within 5 seconds\\n$`) })
  t.match(await keys('revoke', chat.id), { code: 0 }, 'safe to repeat')
  const active = JSON.parse((await keys('list', '--json')).out).apiKeys
  t.match(active, [{ id: root.id, name: 'root', revokedAt: null }])
  t.equal(active.length, 1)
  const all = JSON.parse((await keys('list', '--all', '--json')).out).apiKeys
  t.match(all, [{ id: chat.id, scopes: ['credits:read', 'invites:write'], revokedAt: String }, {}])
  t.match((await keys('list', '--all')).out, / revoked .* chat$/m)

  const refused: [RegExp, ...string[]][] = [
    [/^creditd: There is no such API key\n$/, 'revoke', 'none'],
    [/^creditd: Without this key nobody could make another one/, 'revoke', root.id],
    [/Missing required positional argument: ID/, 'revoke'],
    [/unknown option --every/, 'list', '--every'],
  ]
  for (const [error, ...args] of refused) {
    const result = await keys(...args)
    t.equal(result.code, 1, args.join(' '))
    t.match(result.err, error, args.join(' '))
  }
  t.equal(JSON.parse((await keys('list', '--json')).out).apiKeys.length, 1)
})

t.test('reconcile finds nothing in good books, and names what is wrong in others', async (t) => {
  const { url } = await freshDatabase(t)
  const env = { DATABASE_URL: url }
  const service = await startService(t, env)
  await service.call('PUT', '/v1/accounts/ann', {})
  await service.call('POST', '/v1/accounts/ann/grants', { amount: 10 })
  t.match(await creditd(t, env, 'reconcile'), { code: 0, out: '1 accounts, 0 mismatches\n' })
  await query(url, `update accounts set balance = 11 where id = 'ann'`)
  const found = await creditd(t, env, 'reconcile')
  t.equal(found.code, 1)
  t.match(found.out, /^ann: balance_is_sum_of_rows: expected 10, is 11$/m)
})

t.test('commands work beside a running service on the embedded database', async (t) => {
  const directory = temporaryDirectory(t)
  const env = { DATA_DIR: directory }
  const service = await startService(t, env)
  const check = await creditd(t, env, 'db:check')
  t.equal(check.code, 0, check.out + check.err)
  t.match(check.out, /^ok +durability/m)
  t.equal((await service.call('GET', '/health/ready')).status, 200, 'which is not disturbed')
  const started = service
    .output()
    .split('\n')
    .find((line) => line.includes('"msg":"ready"'))
  t.equal(started?.match(/"pid":/g)?.length, 1, 'a line tells each of its fields once')
})

t.test('a command does not make a database where there is none, db:migrate does', async (t) => {
  const directory = join(temporaryDirectory(t), 'data')
  mkdirSync(directory)
  const env = { DATA_DIR: directory }
  t.match(await creditd(t, env, 'db:status'), { code: 1, err: /no embedded database in/ })
  t.equal((await creditd(t, env, 'db:migrate')).code, 0)
  t.equal((await creditd(t, env, 'db:status')).code, 0)
})
