import { randomUUID } from 'node:crypto'
import pino from 'pino'
import t from 'tap'
import { ConfigError, describeConfig, loadConfig } from '../../src/config.js'
import { openStores } from '../../src/stores/open.js'
import { getKeyPrefix } from '../../src/stores/prefix.js'
import { createRedisReports } from '../../src/stores/redis-health.js'
import { findRedisTargets, type RedisTarget, RedisUrlError } from '../../src/stores/urls.js'
import { createRevocations } from './kit.js'

const PREFIXES: readonly (readonly [Record<string, string>, string])[] = [
  [{}, 'dev:'],
  [{ NODE_ENV: 'production' }, 'prod:'],
  [{ NODE_ENV: 'development' }, 'dev:'],
  [{ NODE_ENV: 'test' }, 'local:'],
  [{ NODE_ENV: 'toString' }, 'local:'],
  [{ VERCEL_ENV: 'production', NODE_ENV: 'development' }, 'prod:'],
  [{ VERCEL_ENV: 'preview', NODE_ENV: 'production' }, 'dev:'],
  [{ VERCEL_ENV: 'development', NODE_ENV: 'production' }, 'dev:'],
  [{ VERCEL_ENV: 'staging' }, 'local:'],
  [{ RAILWAY_ENVIRONMENT_NAME: 'production' }, 'prod:'],
  [{ RAILWAY_ENVIRONMENT_NAME: 'pr-17', NODE_ENV: 'production' }, 'dev:'],
  [{ VERCEL_ENV: 'preview', RAILWAY_ENVIRONMENT_NAME: 'production' }, 'dev:'],
  [{ VERCEL_ENV: '', RAILWAY_ENVIRONMENT_NAME: ' ', NODE_ENV: 'production' }, 'prod:'],
  [{ KEY_PREFIX: 'eu1:', VERCEL_ENV: 'production' }, 'eu1:'],
  [{ KEY_PREFIX: '', VERCEL_ENV: 'production' }, 'prod:'],
]

for (const [env, prefix] of PREFIXES) {
  t.equal(getKeyPrefix(env), prefix, `${JSON.stringify(env)} gives ${prefix}`)
}

const at = (host: string, port = 6379) => ({ hosts: [{ host, port }] })

type Case = readonly [
  name: string,
  env: Record<string, string>,
  main: Partial<RedisTarget> | null,
  rest?: { cache?: Partial<RedisTarget> | null; session?: Partial<RedisTarget> | null },
]

const TARGETS: readonly Case[] = [
  ['nothing', {}, null, { cache: null, session: null }],
  [
    'a plain URL',
    { REDIS_URL: 'redis://h' },
    { ...at('h'), isEncrypted: false, isCluster: false, password: null, database: 0 },
    { cache: at('h'), session: at('h') },
  ],
  [
    'everything in a URL',
    { REDIS_URL: 'rediss://me:p%40ss@h.example:7000/3' },
    { ...at('h.example', 7000), isEncrypted: true, username: 'me', password: 'p@ss', database: 3 },
  ],
  ['a password alone', { REDIS_URL: 'redis://:pw@h:1' }, { username: null, password: 'pw' }],
  ['an address of IPv6', { REDIS_URL: 'redis://[::1]:7000' }, at('::1', 7000)],
  [
    'several hosts',
    { REDIS_URL: 'redis://u:p@a:1,b:2,c' },
    {
      isCluster: true,
      hosts: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
        { host: 'c', port: 6379 },
      ],
    },
  ],
  ['one host of a cluster', { REDIS_URL: 'redis://a?cluster=true' }, { isCluster: true }],
  [
    'a REST address with its token',
    { UPSTASH_REDIS_REST_URL: 'https://x.upstash.io', UPSTASH_REDIS_REST_TOKEN: 'T/+=' },
    { ...at('x.upstash.io'), isEncrypted: true, username: 'default', password: 'T/+=' },
  ],
  [
    'the KV layout',
    { KV_REST_API_URL: 'https://kv.example:443/', KV_REST_API_TOKEN: 'T' },
    { ...at('kv.example'), variable: 'KV_REST_API_URL', password: 'T' },
  ],
  [
    'a redis URL in the place of an address',
    { KV_REST_API_URL: 'redis://h:9', KV_REST_API_TOKEN: 'unused' },
    { ...at('h', 9), password: null },
  ],
  [
    'the first that is set counts',
    { REDIS_URL: 'redis://a', UPSTASH_REDIS_REST_URL: 'redis://b', KV_REST_API_URL: 'redis://c' },
    at('a'),
  ],
  [
    'each role its own',
    {
      REDIS_URL: 'redis://a',
      REDIS_CACHE_URL: 'https://b',
      REDIS_CACHE_TOKEN: 'T',
      REDIS_SESSION_URL: 'redis://c',
    },
    at('a'),
    { cache: { ...at('b'), password: 'T' }, session: at('c') },
  ],
  ['a role alone', { REDIS_CACHE_URL: 'redis://b' }, null, { cache: at('b'), session: null }],
]

for (const [name, env, main, rest = {}] of TARGETS) {
  t.test(`${name}: where Redis is`, async (t) => {
    const targets = findRedisTargets(env)
    t.match({ ...targets, ...(main === null && { main: targets.main }) }, { main, ...rest })
    if (main === null) t.equal(targets.main, null)
  })
}

const SECRET = 'geheim'

const WRONG: readonly (readonly [Record<string, string>, RegExp])[] = [
  [{ KEY_PREFIX: 'a b' }, /^KEY_PREFIX must be 1 to 32 of/],
  [{ KEY_PREFIX: '{a}' }, /^KEY_PREFIX must be 1 to 32 of/],
  [{ KEY_PREFIX: 'x'.repeat(33) }, /^KEY_PREFIX must be 1 to 32 of/],
  [{ REDIS_TIMEOUT_MS: '50' }, /^REDIS_TIMEOUT_MS must be a whole number from 5 to 25/],
]

for (const [env, problem] of WRONG) {
  t.test(`${Object.keys(env)[0]} that can not be used: ${problem}`, async (t) => {
    try {
      loadConfig({ ...env, REDIS_URL: 'nonsense' })
      t.fail('it was taken')
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      t.equal(error.problems.length, 1, 'one line')
      t.match(error.problems[0], problem)
    }
  })
}

/** What each is served without, and why. */
const UNUSABLE: readonly (readonly [Record<string, string>, string, RegExp])[] = [
  [{ REDIS_URL: `postgres://u:${SECRET}@h` }, 'REDIS_URL', /^its URL must be redis:/],
  [{ REDIS_URL: `${SECRET}.example:6379` }, 'REDIS_URL', /^its URL must be redis:/],
  [{ REDIS_URL: `redis://u:${SECRET}@h:70000` }, 'REDIS_URL', /must have a port from 1 to 65535/],
  [{ REDIS_URL: `redis://u:${SECRET}/x@h` }, 'REDIS_URL', /must have .* percent-encoded/],
  [{ REDIS_URL: `redis://u:${SECRET}%zz@h` }, 'REDIS_URL', /must have "%"/],
  [{ REDIS_URL: `redis://u:${SECRET}@h/x` }, 'REDIS_URL', /must have the number of a database/],
  [{ REDIS_URL: `redis://u:${SECRET}@a,b/1` }, 'REDIS_URL', /must not choose a database/],
  [{ REDIS_URL: `redis://u:${SECRET}@` }, 'REDIS_URL', /must be redis:/],
  [{ REDIS_URL: `redis://${SECRET}${'x'.repeat(4_096)}` }, 'REDIS_URL', /at most 4096 characters/],
  [{ REDIS_CACHE_URL: 'https://h' }, 'REDIS_CACHE_URL', /needs REDIS_CACHE_TOKEN$/],
  [{ REDIS_SESSION_URL: SECRET }, 'REDIS_SESSION_URL', /must be redis:/],
  [
    { KV_REST_API_URL: 'https://h', REDIS_TOKEN: SECRET },
    'KV_REST_API_URL',
    /needs KV_REST_API_TOKEN$/,
  ],
  [
    { UPSTASH_REDIS_REST_URL: 'https://h', UPSTASH_REDIS_REST_TOKEN: SECRET.repeat(1_000) },
    'UPSTASH_REDIS_REST_URL',
    /needs a shorter UPSTASH_REDIS_REST_TOKEN$/,
  ],
]

for (const [env, variable, reason] of UNUSABLE) {
  t.test(`${variable}: ${reason} keeps nobody from starting`, async (t) => {
    const { redis } = loadConfig(env)
    const lines: { variable: string; msg: string }[] = []
    const log = pino({}, { write: (text) => void lines.push(JSON.parse(text)) })
    const stores = openStores({
      ...{ ...redis, log, monotonicMs: () => performance.now(), nowMs: Date.now },
      revocations: createRevocations(),
      newId: randomUUID,
    })
    t.teardown(() => stores.close())
    await stores.settle(50)
    const told = lines.map(({ msg }) => msg)
    t.equal(told.length, 1, 'one line')
    t.match(told[0], `Redis is away (${variable}): its URL `)
    const health = await createRedisReports({
      ...{ ...redis, links: stores.links, monotonicMs: () => performance.now(), nowMs: Date.now },
    }).checkHealth()
    t.match(health, { status: 'degraded', configured: true, connected: false })
    const [role] = Object.values(health.roles).filter(({ configured }) => configured)
    t.match(role, { variable, connected: false, reason })
    t.notMatch(JSON.stringify([lines, health]), SECRET)
    const limit = { max: 1, windowMs: 60_000 }
    t.match(await stores.rateLimit.take('a', limit, 1), { isAllowed: true })
    t.match(await stores.rateLimit.take('a', limit, 1), { isAllowed: false }, 'and it holds')
  })
}

t.test('a role with a URL of no use does not take that of another', async (t) => {
  const { main, cache, session } = findRedisTargets({
    REDIS_URL: 'redis://a',
    REDIS_CACHE_URL: '?',
  })
  t.match([main, session], [at('a'), at('a')])
  t.match(cache, { variable: 'REDIS_CACHE_URL', problem: RedisUrlError })
  const all = findRedisTargets({ REDIS_URL: '?', REDIS_SESSION_URL: 'redis://b' })
  t.match(all, { main: { problem: RedisUrlError }, cache: { variable: 'REDIS_URL' } })
  t.match(all.session, at('b'))
})

t.test('the effective settings tell no password', async (t) => {
  const env = { REDIS_URL: `redis://u:${SECRET}@h`, REDIS_SESSION_TOKEN: SECRET }
  const shown = JSON.stringify(describeConfig(loadConfig(env), env))
  t.notMatch(shown, SECRET)
  t.match(shown, /"name":"REDIS_URL","value":"\(set\)"/)
})
