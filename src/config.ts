import { resolve } from 'node:path'
import { type FeatureConfig, featuresOf, secretsOfFeatures } from './config-features.js'
import { type RedisConfig, redisConfigOf } from './config-redis.js'
import { describeDatabaseUrl, parseDatabaseUrl } from './db/url.js'
import { SETTINGS, type SettingName, type Settings, type TrustProxy } from './settings.js'
import { type LimitConfig, limitsOf } from './settings-limits.js'
import type { Thresholds } from './thresholds.js'

const POOL_SIZE_PRODUCTION = 20
const POOL_SIZE_DEVELOPMENT = 10

export type Config = FeatureConfig & {
  readonly http: {
    readonly port: number
    readonly host: string
    readonly trustProxy: TrustProxy
    readonly requestTimeoutMs: number
  }
  readonly shutdown: { readonly delayMs: number; readonly timeoutMs: number }
  readonly logLevel: Settings['LOG_LEVEL']
  readonly dataDirectory: string
  readonly database: {
    /** null: embedded. */
    readonly url: string | null
    readonly schema: string | null
    readonly poolSize: number | null
    readonly defaultPoolSize: number
    readonly poolTimeoutMs: number | null
    readonly statementTimeoutMs: number
    readonly lockTimeoutMs: number
    readonly connectDeadlineMs: number
    readonly slowQueryMs: number
  }
  readonly redis: RedisConfig
  readonly migrateOnStart: boolean
  /** An operator's key from the environment. */
  readonly apiKey: string | null
  readonly apiKeyPrefix: 'ck_live_' | 'ck_test_'
  /** Whether replies are checked strictly: a broken contract is a 500 and not a wrong reply. */
  readonly hasStrictReplies: boolean
  /** Whether commands that destroy data are refused. */
  readonly isProduction: boolean
  readonly signupBonusCredits: number
  readonly idempotencyTtlSeconds: number
  /** How long the audit log keeps its entries; 0: for ever. */
  readonly auditRetentionDays: number
  readonly sessions: {
    readonly idleMs: number
    readonly guestIdleMs: number
    readonly maxMs: number
  }
  readonly limits: LimitConfig
  readonly ledger: {
    readonly lanes: number
    readonly batchOperations: number
    readonly queueOperations: number
    readonly cachedParts: number
  }
  readonly alerts: {
    /** null: nowhere. */
    readonly webhookUrl: string | null
    readonly thresholds: Thresholds
  }
  /** The settings as given or defaulted, by the names of their variables. */
  readonly settings: Settings
}

export type Environment = Readonly<Record<string, string | undefined>>

/** The environment can not be used; one line for each variable at fault, no value of a secret. */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`the configuration is not valid:\n${problems.map((line) => `  ${line}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/**
 * Reads all settings; pure. An empty variable counts as not set, as in `FOO=` or `${FOO:-}`. Throws
 * ConfigError with everything that is wrong at once.
 */
export const loadConfig = (env: Environment): Config => {
  const problems: string[] = []
  const values = Object.entries(SETTINGS).map(([name, { schema, isSecret }]) => {
    const text = env[name]?.trim() || undefined
    const result = schema.safeParse(text)
    if (result.success) return [name, result.data]
    const given = isSecret || text === undefined ? '' : `, and is ${JSON.stringify(text)}`
    problems.push(...result.error.issues.map(({ message }) => `${name} ${message}${given}`))
    return [name, undefined]
  })
  if (problems.length > 0) throw new ConfigError(problems)
  const settings = Object.fromEntries(values) as Settings
  return fromSettings(settings, redisConfigOf(settings, env))
}

/** What must never be printed, whatever it is part of. */
export const secretsOf = (config: Config): readonly string[] => {
  const { apiKey } = config
  const passwords = Object.values(config.redis.targets).flatMap((target) =>
    target === null || 'problem' in target ? [] : (target.password ?? []),
  )
  return [...(apiKey === null ? [] : [apiKey]), ...passwords, ...secretsOfFeatures(config)]
}

const fromSettings = (settings: Settings, redis: RedisConfig): Config => {
  const isProduction = settings.NODE_ENV === 'production'
  return {
    http: {
      port: settings.PORT,
      host: settings.HOST,
      trustProxy: settings.TRUST_PROXY,
      requestTimeoutMs: settings.REQUEST_TIMEOUT_MS,
    },
    shutdown: { delayMs: settings.SHUTDOWN_DELAY_MS, timeoutMs: settings.SHUTDOWN_TIMEOUT_MS },
    logLevel: settings.LOG_LEVEL,
    dataDirectory: resolve(settings.DATA_DIR),
    database: databaseOf(settings, isProduction),
    redis,
    migrateOnStart: settings.MIGRATE_ON_START,
    apiKey: settings.CREDITD_API_KEY ?? null,
    apiKeyPrefix: isProduction ? 'ck_live_' : 'ck_test_',
    hasStrictReplies: settings.STRICT_REPLIES,
    isProduction,
    signupBonusCredits: settings.SIGNUP_BONUS,
    idempotencyTtlSeconds: settings.IDEMPOTENCY_TTL_SECONDS,
    auditRetentionDays: settings.AUDIT_RETENTION_DAYS,
    sessions: sessionsOf(settings),
    limits: limitsOf(settings),
    ledger: {
      lanes: settings.LEDGER_LANES,
      batchOperations: settings.LEDGER_BATCH_LIMIT,
      queueOperations: settings.LEDGER_QUEUE_LIMIT,
      cachedParts: settings.LEDGER_CACHE_PARTS,
    },
    alerts: alertsOf(settings),
    ...featuresOf(settings),
    settings,
  }
}

const sessionsOf = (settings: Settings): Config['sessions'] => ({
  idleMs: settings.SESSION_TTL_SECONDS * 1000,
  guestIdleMs: settings.GUEST_SESSION_TTL_SECONDS * 1000,
  maxMs: settings.SESSION_MAX_SECONDS * 1000,
})

const alertsOf = (settings: Settings): Config['alerts'] => ({
  webhookUrl: settings.ALERT_WEBHOOK_URL ?? null,
  thresholds: {
    balanceMismatches: settings.ALERT_BALANCE_MISMATCHES,
    failurePercent: settings.ALERT_FAILURE_PERCENT,
    latencyMs: settings.ALERT_LATENCY_MS,
    errorPercent: settings.ALERT_ERROR_PERCENT,
    pendingSeconds: settings.ALERT_PENDING_SECONDS,
    databaseSeconds: settings.ALERT_DATABASE_SECONDS,
    fallbackSeconds: settings.ALERT_FALLBACK_SECONDS,
    redisMemoryPercent: settings.ALERT_REDIS_MEMORY_PERCENT,
  },
})

const databaseOf = (settings: Settings, isProduction: boolean): Config['database'] => ({
  url: settings.DATABASE_URL ?? null,
  schema: settings.DATABASE_SCHEMA ?? null,
  poolSize: settings.DATABASE_POOL_SIZE ?? null,
  defaultPoolSize: isProduction ? POOL_SIZE_PRODUCTION : POOL_SIZE_DEVELOPMENT,
  poolTimeoutMs: settings.DATABASE_POOL_TIMEOUT_MS ?? null,
  statementTimeoutMs: settings.DATABASE_STATEMENT_TIMEOUT_MS,
  lockTimeoutMs: settings.DATABASE_LOCK_TIMEOUT_MS,
  connectDeadlineMs: settings.DATABASE_WAIT_MS,
  slowQueryMs: settings.SLOW_QUERY_MS,
})

export type EffectiveSetting = {
  readonly name: SettingName
  readonly value: string
  readonly isSet: boolean
}

/** The effective settings for people to read. Secrets are named as set or not, never shown. */
export const describeConfig = (config: Config, env: Environment): readonly EffectiveSetting[] =>
  settingNames().map((name) => ({
    name,
    value: shown(name, config),
    isSet: Boolean(env[name]?.trim()),
  }))

const shown = (name: SettingName, { settings }: Config): string => {
  const value = settings[name]
  if (value === undefined) return `(${SETTINGS[name].otherwise ?? 'not set'})`
  if (name === 'DATABASE_URL') return describeDatabaseUrl(parseDatabaseUrl(String(value)), null)
  if (SETTINGS[name].isSecret) return '(set)'
  return Array.isArray(value) ? value.join(',') : String(value)
}

/** The text of .env.example: every setting with what it does, commented out at its default. */
export const renderEnvironmentExample = (): string => {
  const { settings } = loadConfig({})
  const entries = settingNames().map((name) => {
    const { about, otherwise } = SETTINGS[name]
    const note = otherwise === null ? '' : ` Not set: ${otherwise}.`
    return `# ${about}.${note}\n#${name}=${settings[name] ?? ''}\n`
  })
  return `${EXAMPLE_HEAD}\n${entries.join('\n')}`
}

const EXAMPLE_HEAD = `# Every setting of creditd; all are optional. The values are the defaults.
# Copied to .env in the working directory, they are read at start; the environment wins.
`

const settingNames = (): SettingName[] => Object.keys(SETTINGS) as SettingName[]
