import { readFileSync } from 'node:fs'
import pino from 'pino'
import type { Admin } from '../src/admin/routes.js'
import { type AppDeps, buildApp } from '../src/app.js'
import type { Credits } from '../src/credits/credits.js'
import type { Health } from '../src/health/service.js'
import type { Authenticator } from '../src/http/auth.js'
import { createMetrics } from '../src/http/metrics.js'
import { openapiYaml } from '../src/http/openapi.js'
import type { Limits } from '../src/limits/service.js'
import type { Policies } from '../src/policies.js'
import type { RateLimitStore } from '../src/stores/rate-limit/store.js'

/** The description of the API as it is committed; needs no database, for nothing is called. */
export const describeApi = async (): Promise<string> => {
  const url = new URL('../package.json', import.meta.url)
  const { version } = JSON.parse(readFileSync(url, 'utf8')) as { version: string }
  const app = await buildApp(nothingBehind(version))
  await app.ready()
  const text = openapiYaml(app)
  await app.close()
  return text
}

/** Routes take their services apart only when they are called. */
const nothingBehind = (version: string): AppDeps => ({
  http: {
    logger: pino({ level: 'silent' }),
    authenticator: {} as Authenticator,
    audit: { record: () => {} },
    metrics: createMetrics({ now: () => 0 }),
    limits: {
      store: {} as RateLimitStore,
      policies: {} as Policies,
      coverApiKeys: false,
      coverVerifiedWebhooks: false,
      note: () => {},
      nowMs: () => 0,
    },
    trustProxy: false,
    serializer: 'fast',
    requestTimeoutMs: 10_000,
    requestIdPrefix: '',
    openBudget: null,
    creditSystem: { version: 'v1', rollbackMode: false },
    version,
  },
  once: async () => {
    throw new Error('nothing is called here')
  },
  credits: {} as Credits,
  admin: {} as Admin,
  health: {} as Health,
  limits: {} as Limits,
  events: {} as AppDeps['events'],
  purchases: {} as AppDeps['purchases'],
  inbox: { close: async () => {} } as AppDeps['inbox'],
  plans: {} as AppDeps['plans'],
  sessions: {} as AppDeps['sessions'],
})
