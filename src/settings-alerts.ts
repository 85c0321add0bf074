import { decimal, httpUrl, setting, whole } from './setting.js'
import { THRESHOLDS } from './thresholds.js'

const HOUR_SECONDS = 3_600

/** From where on an alert fires, and where that is told. */
export const ALERT_SETTINGS = {
  ALERT_WEBHOOK_URL: setting(httpUrl().optional(), 'Where alerts are posted to as JSON', {
    isSecret: true,
    otherwise: 'alerts are in the log and in /metrics only',
  }),
  ALERT_BALANCE_MISMATCHES: setting(
    whole(0, 1_000_000).default(THRESHOLDS.balanceMismatches),
    'Alert when a reconciliation finds more mismatches than this',
  ),
  ALERT_FAILURE_PERCENT: setting(
    decimal(0, 100).default(THRESHOLDS.failurePercent),
    'Alert when more than this share of the ledger writes of an hour failed',
  ),
  ALERT_LATENCY_MS: setting(
    whole(1, 600_000).default(THRESHOLDS.latencyMs),
    'Alert when 1 API call in 20 takes longer than this',
  ),
  ALERT_ERROR_PERCENT: setting(
    decimal(0, 100).default(THRESHOLDS.errorPercent),
    'Alert when more than this share of the API calls, or Redis commands, of five minutes failed',
  ),
  ALERT_PENDING_SECONDS: setting(
    whole(1, 24 * HOUR_SECONDS).default(THRESHOLDS.pendingSeconds),
    'Alert when a transfer has not reached its other side for longer than this',
  ),
  ALERT_DATABASE_SECONDS: setting(
    whole(0, HOUR_SECONDS).default(THRESHOLDS.databaseSeconds),
    'Alert when the database has been away for this long',
  ),
  ALERT_FALLBACK_SECONDS: setting(
    whole(0, HOUR_SECONDS).default(THRESHOLDS.fallbackSeconds),
    'Alert when an instance has done without its Redis for this long',
  ),
  ALERT_REDIS_MEMORY_PERCENT: setting(
    decimal(0, 100).default(THRESHOLDS.redisMemoryPercent),
    'Alert when Redis uses more than this share of its memory',
  ),
} as const
