import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../helpers/cluster.js'
import type { TestContext } from '../helpers/database.js'
import { startRedis, startRedisCluster } from '../helpers/redis.js'
import { temporaryDirectory } from '../helpers/server.js'
import { openReady, UNHURRIED } from './kit.js'

type Result = { readonly code: number; readonly out: string; readonly err: string }

/** Two seconds, and the start of the process. */
const MAX_FAILING_MS = 4_000
/** A machine that is busy with other tests may hold up one run: what always waits, waits in all. */
const TRIES = 4

const SECRET = 'a-password-that-nobody-may-see'

/** The command line in a directory of its own, with this environment and no other. */
const creditd = (t: TestContext, env: Record<string, string>, ...args: string[]) =>
  new Promise<Result>((resolve) => {
    const nodeArgs = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts')]
    const options = { cwd: temporaryDirectory(t), env: { PATH: process.env.PATH, ...env } }
    execFile(process.execPath, [...nodeArgs, ...args], options, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })

/** The command's result, and how long it took at best. */
const timed = async (t: TestContext, env: Record<string, string>, ...args: string[]) => {
  let bestMs = Infinity
  let result: Result | null = null
  for (let i = 0; i < TRIES && bestMs >= MAX_FAILING_MS; i += 1) {
    const startedMs = performance.now()
    result = await creditd(t, env, ...args)
    bestMs = Math.min(bestMs, performance.now() - startedMs)
  }
  if (result === null) throw new Error('nothing was tried')
  return { ...result, bestMs }
}

t.test('redis:check names the variables when nothing is configured', async (t) => {
  const { code, out } = await creditd(t, {}, 'redis:check')
  t.equal(code, 1)
  for (const name of ['REDIS_URL', 'UPSTASH_REDIS_REST_URL', 'KV_REST_API_TOKEN']) {
    t.match(out, name)
  }
  const asJson = await creditd(t, {}, 'redis:check', '--json')
  t.match(JSON.parse(asJson.out), { ok: false, configured: false })
})

for (const kind of ['Redis', 'Redis Cluster'] as const) {
  t.test(`redis:check tries all three roles on ${kind}`, async (t) => {
    const { url } = kind === 'Redis' ? await startRedis(t) : await startRedisCluster(t)
    const env = { REDIS_URL: url, KEY_PREFIX: 'test:' }
    const { code, out, err } = await creditd(t, env, 'redis:check')
    t.equal(code, 0, out + err)
    for (const role of ['main', 'cache', 'session']) {
      t.match(out, new RegExp(`^ok +${role} +latency +[0-9.]+ ms`, 'm'))
      t.match(out, new RegExp(`^ok +${role} +write `, 'm'))
    }
    t.match(out, /^ok +main +limit +one of one let through/m)
    t.match(out, /^commands \d+ today, \d+ this month, [0-9.]+ % of 500000$/m)
    t.match(out, /^memory +[0-9.]+ MB, [0-9.]+ % of 256.0 MB$/m)
    const { out: text } = await creditd(t, env, 'redis:check', '--json')
    t.match(JSON.parse(text), { ok: true, keyPrefix: 'test:', usage: { budget: {} } })
  })
}

t.test('redis:check fails, and says why, where a URL can not be used', async (t) => {
  const { url } = await startRedis(t)
  const env = { REDIS_URL: url, REDIS_CACHE_URL: `https://${SECRET}.example` }
  const { code, out, err } = await creditd(t, env, 'redis:check')
  t.equal(code, 1)
  t.match(out, /^ok +main +limit/m)
  t.match(
    out,
    /^FAILED +cache +latency +its URL is .* needs REDIS_CACHE_TOKEN \(REDIS_CACHE_URL\)$/m,
  )
  t.notMatch(out + err, SECRET)
  const health = await creditd(t, env, 'redis:health')
  t.equal(health.code, 1)
  t.match(health.out, /^cache +its URL .*\(REDIS_CACHE_URL\)$/m)
})

t.test('redis:check fails, and says why, where one role is away', async (t) => {
  const { url } = await startRedis(t)
  const { url: locked } = await startRedis(t, ['--requirepass', 'right'])
  const wrong = locked.replace('127.0.0.1', `:${SECRET}@127.0.0.1`)
  const env = { REDIS_URL: url, REDIS_SESSION_URL: wrong }
  const { code, out, err } = await creditd(t, env, 'redis:check')
  t.equal(code, 1)
  t.match(out, /^ok +main +limit/m)
  t.match(out, /^FAILED +session +latency +.*password.*\(REDIS_SESSION_URL\)$/m)
  t.notMatch(out + err, SECRET)
  const health = await creditd(t, env, 'redis:health', '--json')
  t.equal(health.code, 1)
  t.match(JSON.parse(health.out), {
    status: 'degraded',
    roles: { main: { connected: true }, session: { connected: false, reason: /password/ } },
  })
  t.notMatch(health.out + health.err, SECRET)
})

t.test('a Redis that hangs does not hang the commands', async (t) => {
  const server = await startRedis(t)
  server.pause()
  const { code, out, bestMs } = await timed(t, { REDIS_URL: server.url }, 'redis:check')
  t.ok(bestMs < MAX_FAILING_MS, `${bestMs.toFixed(0)} ms`)
  t.equal(code, 1)
  t.match(out, /^FAILED +main +latency +it does not answer in time/m)
  server.resume()
})

t.test('redis:health tells how it is', async (t) => {
  const { url } = await startRedis(t)
  const { code, out } = await creditd(t, { REDIS_URL: url }, 'redis:health')
  t.equal(code, 0)
  t.match(out, /^status +ok$/m)
  t.match(out, /^session +ok, [0-9.]+ ms \(REDIS_URL\)$/m)
  t.match(out, /^memory +[0-9.]+ MB, no limit$/m)
})

t.test("redis:keys lists this environment's keys, and no others", async (t) => {
  const { url } = await startRedis(t)
  const mine = await openReady(t, url, { ...UNHURRIED, keyPrefix: 'mine:' })
  const others = await openReady(t, url, { ...UNHURRIED, keyPrefix: 'mine2:' })
  for (const [stores, size] of [
    [mine, 5_000],
    [others, 10],
  ] as const) {
    await stores.cache.setMany([{ key: 'big', value: 'x'.repeat(size), ttlMs: 60_000 }])
    await stores.rateLimit.take('someone', { max: 5, windowMs: 60_000 }, 1)
  }
  const env = { REDIS_URL: url, KEY_PREFIX: 'mine:' }
  const { code, out } = await creditd(t, env, 'redis:keys')
  t.equal(code, 0)
  t.match(out, /^ +\d+ +string +\d+ s +mine:ca:big$/m)
  t.match(out, /^ +\d+ +hash +\d+ s +mine:rl:someone$/m)
  t.notMatch(out, 'mine2:')
  t.equal((await creditd(t, env, 'redis:keys', '--limit', '0')).code, 1)
})

t.test('redis:keys finds the largest key among many', async (t) => {
  const { url, command } = await startRedis(t)
  const script = `for i = 1, 2000 do redis.call('set', 'mine:' .. i, 'x') end
                  redis.call('set', 'mine:big', string.rep('x', 9000))
                  for i = 2001, 4000 do redis.call('set', 'mine:' .. i, 'x') end`
  await command('eval', script, 0)
  const env = { REDIS_URL: url, KEY_PREFIX: 'mine:' }
  const { out } = await creditd(t, env, 'redis:keys', '--limit', '1')
  t.match(out, /^ +\d+ +string +for ever +mine:big\n400\d keys, .*, the largest 1 of them listed$/m)
  const { keys, count, isCut } = JSON.parse(
    (await creditd(t, env, 'redis:keys', '--json', '--limit', '2')).out,
  )
  t.equal(keys.length, 2)
  t.equal(keys[0].key, 'mine:big')
  // the probe's own key is there as well
  t.ok(count === 4_001 || count === 4_002, `${count}`)
  t.equal(isCut, false)
})

t.test('a database that is not there: every command says so, and writes nothing', async (t) => {
  const { url, command } = await startRedis(t)
  const reason = 'it has no database of that number (REDIS_URL)'
  for (const name of ['redis:check', 'redis:health', 'redis:keys']) {
    const { code, out, bestMs } = await timed(t, { REDIS_URL: `${url}/99` }, name)
    t.equal(code, 1, name)
    t.match(out, reason)
    t.ok(bestMs < MAX_FAILING_MS, `${name} took ${bestMs.toFixed(0)} ms`)
  }
  t.equal(await command('dbsize'), 0)
})
