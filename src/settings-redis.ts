import { z } from 'zod'
import { setting, whole } from './setting.js'

/** What is in them is told by stores/urls.ts: a mistake there keeps nobody from starting. */
const secret = (about: string, otherwise?: string) =>
  setting(z.string().optional(), about, {
    isSecret: true,
    ...(otherwise !== undefined && { otherwise }),
  })

/** Braces would put all keys of a cluster into one slot. */
const KEY_PREFIX = /^[A-Za-z0-9_.:-]{1,32}$/

/** The URLs are read all together, with their tokens: see stores/urls.ts. */
export const REDIS_SETTINGS = {
  REDIS_URL: secret(
    'redis://user:password@host:6379/0, rediss:// with TLS; several hosts with commas between, ' +
      'or ?cluster=true, for a cluster',
    'no Redis, short-lived state stays in this process',
  ),
  REDIS_TOKEN: secret('Token of REDIS_URL where that is an https address'),
  REDIS_CACHE_URL: secret('Redis of the cache', 'as REDIS_URL'),
  REDIS_CACHE_TOKEN: secret('Token of REDIS_CACHE_URL where that is an https address'),
  REDIS_SESSION_URL: secret('Redis of the sessions', 'as REDIS_URL'),
  REDIS_SESSION_TOKEN: secret('Token of REDIS_SESSION_URL where that is an https address'),
  UPSTASH_REDIS_REST_URL: secret('Taken when REDIS_URL is not set'),
  UPSTASH_REDIS_REST_TOKEN: secret('Token of UPSTASH_REDIS_REST_URL'),
  KV_REST_API_URL: secret('Taken when neither of those is set'),
  KV_REST_API_TOKEN: secret('Token of KV_REST_API_URL'),
  KEY_PREFIX: setting(
    z.string().regex(KEY_PREFIX, { error: 'must be 1 to 32 of A-Z a-z 0-9 _ . : -' }).optional(),
    'What all keys in Redis begin with',
    { otherwise: 'prod:, dev: or local:, by VERCEL_ENV, RAILWAY_ENVIRONMENT_NAME or NODE_ENV' },
  ),
  REDIS_TIMEOUT_MS: setting(
    whole(5, 25).default(15),
    'Redis that takes longer for a command is done without for a while',
  ),
  REDIS_BUDGET_COMMANDS: setting(
    whole(1, Number.MAX_SAFE_INTEGER).default(500_000),
    'Commands a month that the plan of the provider allows, for reports',
  ),
  REDIS_BUDGET_MB: setting(
    whole(1, 1_000_000_000).default(256),
    'Memory that the plan of the provider allows, for reports',
  ),
} as const
