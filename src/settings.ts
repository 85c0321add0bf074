import { isIP } from 'node:net'
import { z } from 'zod'
import { DatabaseSetupError } from './db/setup-error.js'
import { checkSchemaName, parseDatabaseUrl } from './db/url.js'
import { flag, oneOf, setting, whole } from './setting.js'
import { ALERT_SETTINGS } from './settings-alerts.js'
import { EVENT_SETTINGS } from './settings-events.js'
import { LIMIT_SETTINGS } from './settings-limits.js'
import { PURCHASE_SETTINGS } from './settings-purchases.js'
import { REDIS_SETTINGS } from './settings-redis.js'
import { SESSION_SETTINGS } from './settings-sessions.js'

export type TrustProxy = boolean | readonly string[]

/** Runs a check of the database part, whose messages are fit for the operator as they are. */
const checkedBy = (check: (text: string) => unknown) =>
  z.string().check((context) => {
    try {
      check(context.value)
    } catch (error) {
      if (!(error instanceof DatabaseSetupError)) throw error
      const message = error.message.replace(/^DATABASE_(URL can not be used|SCHEMA): /, '')
      context.issues.push({ code: 'custom', message, input: undefined })
    }
  })

const parseTrust = (text: string): TrustProxy | null => {
  if (text === 'true' || text === 'false') return text === 'true'
  const ranges = text.split(',').map((range) => range.trim())
  return ranges.every(isRange) ? ranges : null
}

const isRange = (text: string): boolean => {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0) return ['loopback', 'linklocal', 'uniquelocal'].includes(text)
  if (bits === undefined) return true
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
}

const trustProxy = z.string().transform((text, context): TrustProxy => {
  const trust = parseTrust(text)
  if (trust !== null) return trust
  const message =
    'must be true, false, or addresses and ranges such as 10.0.0.0/8, ::1, uniquelocal'
  context.issues.push({ code: 'custom', message, input: undefined })
  return z.NEVER
})

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const YEAR_SECONDS = 31_536_000

/** Every setting there is, by the name of its environment variable. */
export const SETTINGS = {
  NODE_ENV: setting(z.string().default('development'), 'production, or anything else'),
  PORT: setting(whole(0, 65_535).default(3000), 'TCP port of the API; 0 takes a free one'),
  HOST: setting(z.string().default('0.0.0.0'), 'Address to listen on'),
  TRUST_PROXY: setting(
    trustProxy.default(false),
    'Whose X-Forwarded-* headers count: false, true, or the addresses and ranges of your proxies',
  ),
  LOG_LEVEL: setting(
    oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
    'Least severe log line to print; debug has a line for every request',
  ),
  REQUEST_TIMEOUT_MS: setting(
    whole(100, 10 * MINUTE_MS).default(10_000),
    'A request that has no answer by then is answered 503',
  ),
  SHUTDOWN_DELAY_MS: setting(
    whole(0, 10 * MINUTE_MS).default(0),
    'On SIGTERM, keep serving this long while /health/ready already answers 503',
  ),
  SHUTDOWN_TIMEOUT_MS: setting(
    whole(100, 10 * MINUTE_MS).default(20_000),
    'A stop that takes longer than this is cut short',
  ),
  DATA_DIR: setting(z.string().default('./data'), 'Where the embedded PostgreSQL keeps its data'),
  DATABASE_URL: setting(
    checkedBy(parseDatabaseUrl).optional(),
    'postgres://user:password@host:5432/database?sslmode=&schema=&connection_limit=&pool_timeout=',
    { isSecret: true, otherwise: 'an embedded PostgreSQL in DATA_DIR' },
  ),
  DATABASE_SCHEMA: setting(
    checkedBy((text) => checkSchemaName(text, 'DATABASE_SCHEMA')).optional(),
    'Schema of all tables; wins over schema= in the URL',
    { otherwise: 'the current schema of the connection, usually public' },
  ),
  DATABASE_POOL_SIZE: setting(
    whole(2, 1_000).optional(),
    'Most connections at once; wins over connection_limit= in the URL',
    { otherwise: '20 in production, 10 elsewhere' },
  ),
  DATABASE_POOL_TIMEOUT_MS: setting(
    whole(10, 10 * MINUTE_MS).optional(),
    'Longest wait for a free connection; wins over pool_timeout= in the URL',
    { otherwise: '5000' },
  ),
  DATABASE_STATEMENT_TIMEOUT_MS: setting(
    whole(100, HOUR_MS).default(10_000),
    'The database cancels a statement that takes longer',
  ),
  DATABASE_LOCK_TIMEOUT_MS: setting(
    whole(10, HOUR_MS).default(5_000),
    'The database cancels a statement that waits longer for a lock',
  ),
  DATABASE_WAIT_MS: setting(
    whole(0, HOUR_MS).default(30_000),
    'How long a start waits for a database that is not up yet',
  ),
  SLOW_QUERY_MS: setting(whole(1, HOUR_MS).default(1_000), 'Statements this slow are logged'),
  MIGRATE_ON_START: setting(flag().default(true), 'Apply pending migrations at start'),
  CREDITD_API_KEY: setting(
    z
      .string()
      .regex(/^[\x21-\x7e]{1,512}$/, { error: 'must be 1 to 512 visible ASCII characters' })
      .optional(),
    'An API key that may do everything, beside those made through the API',
    { isSecret: true, otherwise: 'with the embedded database, one is made and printed once' },
  ),
  STRICT_REPLIES: setting(
    flag().default(false),
    'Check every reply against the description of the API, at several times the cost: for tests',
  ),
  SIGNUP_BONUS: setting(
    whole(0, Number.MAX_SAFE_INTEGER).default(0),
    'Credits that a new account gets, once',
  ),
  IDEMPOTENCY_TTL_SECONDS: setting(
    whole(60, YEAR_SECONDS).default(86_400),
    'How long the keys of writes outside the ledger are remembered',
  ),
  AUDIT_RETENTION_DAYS: setting(
    whole(0, 36_500).default(400),
    'Days that refusals and acts stay in the audit log; 0 keeps them for ever',
  ),
  ...REDIS_SETTINGS,
  ...LIMIT_SETTINGS,
  LEDGER_LANES: setting(whole(1, 64).default(2), 'Batches in flight at once'),
  LEDGER_BATCH_LIMIT: setting(whole(1, 1_000).default(200), 'Most operations in one batch'),
  LEDGER_QUEUE_LIMIT: setting(
    whole(1, 1_000_000).default(10_000),
    'Most operations waiting; beyond it writes are answered 503',
  ),
  LEDGER_CACHE_PARTS: setting(
    whole(0, 10_000_000).default(200_000),
    'Accounts, lots and holds kept in memory between writes',
  ),
  ...ALERT_SETTINGS,
  ...SESSION_SETTINGS,
  ...PURCHASE_SETTINGS,
  ...EVENT_SETTINGS,
} as const

export type SettingName = keyof typeof SETTINGS

export type Settings = {
  readonly [K in SettingName]: z.output<(typeof SETTINGS)[K]['schema']>
}
