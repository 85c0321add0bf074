import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  ConfigError,
  describeConfig,
  type Environment,
  loadConfig,
  renderEnvironmentExample,
} from '../../src/config.js'
import { SETTINGS } from '../../src/settings.js'
import { ROOT } from '../helpers/cluster.js'

const problemsOf = (env: Environment): readonly string[] => {
  try {
    loadConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('nothing set is a valid configuration', async (t) => {
  const config = loadConfig({})
  t.match(config, {
    http: { port: 3000, host: '0.0.0.0', trustProxy: false, requestTimeoutMs: 10_000 },
    database: { url: null, schema: null, defaultPoolSize: 10, slowQueryMs: 1_000 },
    migrateOnStart: true,
    apiKey: null,
    apiKeyPrefix: 'ck_test_',
    signupBonusCredits: 0,
    idempotencyTtlSeconds: 86_400,
    auditRetentionDays: 400,
  })
  t.equal(config.dataDirectory, join(process.cwd(), 'data'))
})

t.test('production has the larger pool, live keys and lenient replies', async (t) => {
  t.match(loadConfig({ NODE_ENV: 'production' }), {
    database: { defaultPoolSize: 20 },
    apiKeyPrefix: 'ck_live_',
    hasStrictReplies: false,
    isProduction: true,
  })
})

t.test('an empty variable counts as not set, and blanks around a value do not count', async (t) => {
  t.equal(loadConfig({ PORT: '', DATABASE_URL: ' ' }).http.port, 3000)
  t.equal(loadConfig({ PORT: ' 8080\n' }).http.port, 8080)
})

const REFUSED: Record<string, readonly string[]> = {
  PORT: ['x', '-1', '65536', '3000.5', '0x10', '1e3'],
  LOG_LEVEL: ['loud', 'INFO'],
  TRUST_PROXY: ['yes', '10.0.0.0/33', '::1/129', '10.0.0.0/8/8', 'example.org', '1,2', '1'],
  MIGRATE_ON_START: ['yes', 'on', '2'],
  REQUEST_TIMEOUT_MS: ['0', '99', 'Infinity'],
  SIGNUP_BONUS: ['-1', '1.5', '9007199254740992', '99999999999999999999'],
  IDEMPOTENCY_TTL_SECONDS: ['59', '1d'],
  AUDIT_RETENTION_DAYS: ['-1', '36501', '1y'],
  DATABASE_POOL_SIZE: ['0', '1', '1001'],
  DATABASE_SCHEMA: ['Prod', 'a-b', '1a', 'pg_toast', 'a b', 'x'.repeat(64), 'information_schema'],
  DATABASE_URL: [
    'mysql://u:p@h/db',
    'file:dev.db',
    'not a url',
    'postgres://u:p@h:99999/db',
    'postgres://u:p@h/db?sslmode=always',
    'postgres://u:p@h/db?connection_limit=0',
    'postgres://u:p@h/db?pool_timeout=ever',
    'postgres://u:p@h/db?schema=Prod',
    'postgres://u:p@h/db?target_session_attrs=standby',
    'postgres://u:%zz@h/db',
    'postgres://u:p@ss/w@h/db',
  ],
  CREDITD_API_KEY: ['a b', 'é'.repeat(40), 'x'.repeat(513)],
  STRICT_REPLIES: ['yes', '2'],
  LEDGER_LANES: ['0', '65'],
  LEDGER_QUEUE_LIMIT: ['0'],
}

for (const [name, values] of Object.entries(REFUSED)) {
  t.test(`a wrong ${name} is refused and named`, async (t) => {
    for (const value of values) {
      const problems = problemsOf({ [name]: value })
      t.equal(problems.length, 1, `${value}: one problem`)
      t.match(problems[0], new RegExp(`^${name} `), value)
    }
  })
}

t.test('everything that is wrong is told at once', async (t) => {
  const problems = problemsOf({ PORT: 'x', LOG_LEVEL: 'loud', DATABASE_URL: 'mysql://h/db' })
  t.same(
    problems.map((line) => line.split(' ')[0]),
    ['PORT', 'LOG_LEVEL', 'DATABASE_URL'],
  )
})

t.test('another scheme is told what is supported', async (t) => {
  const [problem = ''] = problemsOf({ DATABASE_URL: 'mongodb+srv://u:hunter2@h/db' })
  t.match(problem, /"mongodb\+srv:" is not supported; supported are PostgreSQL 15 or newer/)
  t.notMatch(problem, /\n/, 'one line')
})

t.test('no message and no description shows a secret', async (t) => {
  const secrets = ['hunter2hunter2', 'k'.repeat(40)]
  const env = {
    DATABASE_URL: `postgres://user:${secrets[0]}@db.example:6432/credits?schema=live`,
    CREDITD_API_KEY: secrets[1],
  }
  const shown = JSON.stringify(describeConfig(loadConfig(env), env))
  const refused = [
    ...problemsOf({ DATABASE_URL: `postgres://u:${secrets[0]}@h:0/db` }),
    ...problemsOf({ DATABASE_URL: `mysql://u:${secrets[0]}@h/db` }),
    ...problemsOf({ CREDITD_API_KEY: `${secrets[1]} ${'x'.repeat(600)}` }),
  ]
  t.equal(refused.length, 3)
  for (const text of [shown, ...refused]) {
    for (const secret of secrets) t.notMatch(text, secret)
  }
  t.match(shown, 'postgres://user@db.example:6432/credits')
})

t.test('the description has every setting, and what is set by whom', async (t) => {
  const env = { PORT: '8080', TRUST_PROXY: '10.0.0.0/8, ::1' }
  const described = describeConfig(loadConfig(env), env)
  t.same(described.map(({ name }) => name).sort(), Object.keys(SETTINGS).sort())
  const byName = new Map(described.map((entry) => [entry.name, entry]))
  t.match(byName.get('PORT'), { value: '8080', isSet: true })
  t.match(byName.get('TRUST_PROXY'), { value: '10.0.0.0/8,::1', isSet: true })
  t.match(byName.get('LOG_LEVEL'), { value: 'info', isSet: false })
})

t.test('.env.example is what the settings say', async (t) => {
  const text = readFileSync(join(ROOT, '.env.example'), 'utf8')
  t.equal(text, renderEnvironmentExample(), 'stale: run npm run env:example')
})

t.test('.env.example, taken at its word, is the default configuration', async (t) => {
  const env: Record<string, string> = {}
  for (const line of renderEnvironmentExample().split('\n')) {
    const match = /^#([A-Z_]+)=(.*)$/.exec(line)
    if (match) env[String(match[1])] = String(match[2])
  }
  t.equal(Object.keys(env).length, Object.keys(SETTINGS).length)
  t.same(loadConfig(env), loadConfig({}))
})
