import { z } from 'zod'
import { decimal, setting, whole } from './setting.js'

const HOUR_SECONDS = 3_600

const webhookUrl = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), {
    error: 'must be a URL that begins with http:// or https://',
  })

/** From where on an alert fires, and where that is told. */
export const ALERT_SETTINGS = {
  ALERT_WEBHOOK_URL: setting(webhookUrl.optional(), 'Where alerts are posted to as JSON', {
    isSecret: true,
    otherwise: 'alerts are in the log and in /metrics only',
  }),
  ALERT_BALANCE_MISMATCHES: setting(
    whole(0, 1_000_000).default(10),
    'Alert when a reconciliation finds more mismatches than this',
  ),
  ALERT_FAILURE_PERCENT: setting(
    decimal(0, 100).default(5),
    'Alert when more than this share of the ledger writes of an hour failed',
  ),
  ALERT_LATENCY_MS: setting(
    whole(1, 600_000).default(100),
    'Alert when 1 API call in 20 takes longer than this',
  ),
  ALERT_ERROR_PERCENT: setting(
    decimal(0, 100).default(1),
    'Alert when more than this share of the API calls, or Redis commands, of five minutes failed',
  ),
  ALERT_PENDING_SECONDS: setting(
    whole(1, 24 * HOUR_SECONDS).default(300),
    'Alert when a transfer has not reached its other side for longer than this',
  ),
  ALERT_DATABASE_SECONDS: setting(
    whole(0, HOUR_SECONDS).default(30),
    'Alert when the database has been away for this long',
  ),
  ALERT_FALLBACK_SECONDS: setting(
    whole(0, HOUR_SECONDS).default(60),
    'Alert when an instance has done without its Redis for this long',
  ),
  ALERT_REDIS_MEMORY_PERCENT: setting(
    decimal(0, 100).default(80),
    'Alert when Redis uses more than this share of its memory',
  ),
} as const
