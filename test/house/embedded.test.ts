import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { launchService, startService, temporaryDirectory } from '../helpers/server.js'

const FIRST_KEY = /ck_test_[\w-]{43}/g

const pidFileOf = (directory: string): string =>
  join(directory, 'postgres', 'data', 'postmaster.pid')

const isRunning = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const postmasterOf = (directory: string): number =>
  Number(readFileSync(pidFileOf(directory), 'utf8').split('\n')[0])

const openAccount = async (service: Awaited<ReturnType<typeof startService>>, id: string) => {
  const response = await service.call('PUT', `/v1/accounts/${id}`, {})
  return response.status
}

t.test('nothing configured: it starts, keeps its data, and stops what it started', async (t) => {
  const directory = temporaryDirectory(t)
  const env = { DATA_DIR: directory, CREDITD_API_KEY: '' }
  const first = await startService(t, env)
  const keys = first.output().match(FIRST_KEY) ?? []
  t.equal(keys.length, 1, 'a first key is shown once')
  t.match(first.output(), `Bearer <key>' ${first.url}/v1/accounts`, 'and how to use it here')
  t.match(first.output(), /DATABASE_URL is not set: using the embedded PostgreSQL/)
  const headers = { authorization: `Bearer ${keys[0]}` }
  t.equal((await first.call('PUT', '/v1/accounts/ann', {}, headers)).status, 201)
  const postmaster = postmasterOf(directory)
  t.ok(isRunning(postmaster))
  t.equal(await first.stop(), 0)
  t.notOk(isRunning(postmaster), 'the database is stopped with the service')

  const second = await startService(t, env)
  t.notMatch(second.output(), FIRST_KEY, 'no key is shown again')
  t.equal((await second.call('GET', '/v1/accounts/ann', undefined, headers)).status, 200)
})

t.test('a start that comes to nothing shows no key; the next one does', async (t) => {
  const env = { DATA_DIR: temporaryDirectory(t), CREDITD_API_KEY: '' }
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const failed = launchService(t, { ...env, PORT: String(port) })
  t.equal(await failed.ended, 1)
  t.match(failed.output(), /port \d+ is in use/)
  t.notMatch(failed.output(), FIRST_KEY)
  const service = await startService(t, env)
  const keys = service.output().match(FIRST_KEY) ?? []
  t.equal(keys.length, 1)
  const headers = { authorization: `Bearer ${keys[0]}` }
  t.equal((await service.call('GET', '/v1/accounts', undefined, headers)).status, 200)
})

t.test('the first key and passwords are in no line of the log', async (t) => {
  const directory = temporaryDirectory(t)
  const service = await startService(t, { DATA_DIR: directory, CREDITD_API_KEY: '' })
  const password = readFileSync(join(directory, 'postgres', 'password'), 'utf8').trim()
  const log = service.log().map((line) => JSON.stringify(line))
  t.ok(log.length > 3)
  for (const line of log) {
    t.notMatch(line, FIRST_KEY)
    t.notOk(line.includes(password))
  }
})

t.test('what was acknowledged before a kill -9 is there after it', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await startService(t, { DATA_DIR: directory })
  t.equal(await openAccount(first, 'ann'), 201)
  const postmaster = postmasterOf(directory)
  await first.kill9()
  t.ok(isRunning(postmaster), 'its database lives on')
  const second = await startService(t, { DATA_DIR: directory })
  t.equal(postmasterOf(directory), postmaster, 'and is adopted')
  t.match(second.log(), [{ wasAdopted: true }])
  t.equal((await second.call('GET', '/v1/accounts/ann')).status, 200)
  t.equal(await second.stop(), 0)
  t.notOk(isRunning(postmaster), 'an adopted database is stopped too')
})

t.test('a second service on the same data is refused while the first one lives', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await startService(t, { DATA_DIR: directory })
  const second = launchService(t, { DATA_DIR: directory })
  t.equal(await second.ended, 1)
  t.match(second.output(), /creditd: another creditd is using the embedded PostgreSQL/)
  t.equal(await openAccount(first, 'ann'), 201, 'the first one is not disturbed')
})

t.test('two services started at once on an empty directory: one serves', async (t) => {
  const directory = temporaryDirectory(t)
  const both = [1, 2].map(() => launchService(t, { DATA_DIR: directory }))
  const outcomes = both.map(({ ready, ended }) => Promise.race([ready, ended]))
  const refused = await Promise.race(both.map(({ ended }) => ended))
  t.equal(refused, 1)
  const results = await Promise.all(outcomes)
  t.equal(results.filter((result) => typeof result === 'object').length, 1)
})

t.test('the service outlives a crash of its database', async (t) => {
  const directory = temporaryDirectory(t)
  const service = await startService(t, { DATA_DIR: directory })
  t.equal(await openAccount(service, 'ann'), 201)
  process.kill(postmasterOf(directory), 'SIGKILL')
  let status = 0
  const endMs = Date.now() + 30_000
  while (status !== 200 && Date.now() < endMs) {
    status = (await service.call('GET', '/v1/accounts/ann')).status
    t.ok([200, 503].includes(status), `meanwhile ${status}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.equal(status, 200, 'it comes back by itself, with its data')
  t.equal(await openAccount(service, 'bob'), 201)
})

t.test('a pid file left by a crash of the machine is no obstacle', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await startService(t, { DATA_DIR: directory })
  const lines = readFileSync(pidFileOf(directory), 'utf8').split('\n')
  t.equal(await first.stop(), 0)
  for (const pid of [999_999, process.pid]) {
    // a pid that nobody has; and one that by now belongs to somebody else
    writeFileSync(pidFileOf(directory), [pid, ...lines.slice(1)].join('\n'))
    chownAsData(directory)
    const next = await startService(t, { DATA_DIR: directory })
    t.equal(await openAccount(next, `after-${pid}`), 201)
    t.equal(await next.stop(), 0)
  }
})

const chownAsData = (directory: string): void => {
  const { uid, gid } = statSync(join(directory, 'postgres', 'data'))
  if (process.getuid?.() === 0) execFileSync('chown', [`${uid}:${gid}`, pidFileOf(directory)])
}

t.test('a directory that nobody else may enter works, also as root', async (t) => {
  const directory = temporaryDirectory(t)
  chmodSync(directory, 0o700)
  const inside = join(directory, 'checkout', 'data')
  mkdirSync(inside, { recursive: true })
  const service = await startService(t, { DATA_DIR: inside })
  t.equal(await openAccount(service, 'ann'), 201)
  const password = statSync(join(inside, 'postgres', 'password'))
  t.equal(password.mode & 0o777, 0o600)
  t.equal(statSync(join(inside, 'postgres', 'data')).mode & 0o077, 0)
})

t.test('data of another major version is refused in one line', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await startService(t, { DATA_DIR: directory })
  t.equal(await first.stop(), 0)
  writeFileSync(join(directory, 'postgres', 'data', 'PG_VERSION'), '12\n')
  const next = launchService(t, { DATA_DIR: directory })
  t.equal(await next.ended, 1)
  t.match(next.output(), /^creditd: the data in DATA_DIR was written by PostgreSQL 12.*\n$/m)
})

t.test('a DATA_DIR that can not be used is refused in one line', async (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'file'), '')
  const service = launchService(t, { DATA_DIR: join(directory, 'file', 'data') })
  t.equal(await service.ended, 1)
  t.match(service.output(), /^creditd: DATA_DIR .* can not be made .*set DATABASE_URL\n$/)
})

t.test('it promises durability: nothing is left to the next power cut', async (t) => {
  const directory = temporaryDirectory(t)
  const service = await startService(t, { DATA_DIR: directory })
  const pg = (await import('pg')).default
  const password = readFileSync(join(directory, 'postgres', 'password'), 'utf8').trim()
  const port = readFileSync(pidFileOf(directory), 'utf8').split('\n')[3]
  const client = new pg.Client(`postgres://creditd:${password}@127.0.0.1:${port}/creditd`)
  await client.connect()
  for (const setting of ['fsync', 'full_page_writes', 'synchronous_commit']) {
    const { rows } = await client.query(`select current_setting($1) as value`, [setting])
    t.equal(rows[0].value, 'on', setting)
  }
  await client.end()
  const stranger = new pg.Client(`postgres://creditd:guess@127.0.0.1:${port}/creditd`)
  await t.rejects(stranger.connect(), { code: '28P01' }, 'and asks for its password')
  t.ok(service.pid > 0)
})

t.test('on a volume shared by two containers, the second is refused', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await startService(t, { DATA_DIR: directory })
  t.equal(await first.stop(), 0)
  // as the other container leaves it: a pid that is nobody's here, and a mark that is touched
  const mark = join(directory, 'postgres', 'owner')
  const touch = () => writeFileSync(mark, 'other-host pid:[1]\n')
  touch()
  const timer = setInterval(touch, 200)
  t.teardown(() => clearInterval(timer))
  const second = launchService(t, { DATA_DIR: directory })
  t.equal(await second.ended, 1)
  t.match(second.output(), /another creditd, on other-host, is using the embedded PostgreSQL/)
})

t.test('the mark of a container that is gone is waited out', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await startService(t, { DATA_DIR: directory })
  t.equal(await openAccount(first, 'ann'), 201)
  t.equal(await first.stop(), 0)
  t.throws(() => statSync(join(directory, 'postgres', 'owner')), 'a graceful stop removes it')
  writeFileSync(join(directory, 'postgres', 'owner'), 'other-host pid:[1]\n')
  const second = await startService(t, { DATA_DIR: directory })
  t.equal((await second.call('GET', '/v1/accounts/ann')).status, 200)
})
