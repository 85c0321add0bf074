import { createHash } from 'node:crypto'
import pino from 'pino'
import { z } from 'zod'
import { loadConfig } from '../../src/config.js'
import { AppError } from '../../src/errors.js'
import type { Scope } from '../../src/http/actor.js'
import { createAuthenticator, keyHash } from '../../src/http/auth.js'
import { createMetrics } from '../../src/http/metrics.js'
import type { RateLimitDeps } from '../../src/http/rate-limits.js'
import type { App } from '../../src/http/route.js'
import { createHttpServer } from '../../src/http/server.js'
import { newSessionToken } from '../../src/http/session-token.js'
import { createMemoryRateLimit } from '../../src/stores/rate-limit/memory.js'
import type { Limit } from '../../src/stores/rate-limit/store.js'
import { SessionsAwayError } from '../../src/stores/session/store.js'
import type { TestContext } from './database.js'

/** The rate limits of one process as they are by default; time stands still unless it is moved. */
export const limitsInMemory = (
  clock: { ms: number } = { ms: 0 },
  environment: Readonly<Record<string, string>> = {},
): RateLimitDeps => ({
  ...loadConfig(environment).limits,
  store: createMemoryRateLimit({ nowMs: () => clock.ms }),
  note: () => {},
  nowMs: () => clock.ms,
})

export type Door = {
  readonly app: App
  readonly clock: { ms: number }
  /** How often a key or a session was looked up. */
  lookUps(): number
  /** From now on nobody can tell whose sessions there are. */
  loseSessions(): void
  /** Makes an API key with these rights. */
  key(id: string, options?: { scopes?: Scope[]; limit?: Limit | null }): string
  session(accountId: string, isGuest?: boolean): string
  call(path: string, call?: DoorCall): Promise<DoorReply>
}

export type DoorCall = {
  readonly method?: 'GET' | 'POST'
  /** The credential. */
  readonly as?: string
  readonly body?: object
  readonly headers?: Record<string, string>
  readonly from?: string
}

export type DoorReply = {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * The HTTP side with a route for each policy, without a database: keys and sessions are those that
 * the test makes, and time stands still until the test moves it.
 */
export const openDoor = async (
  t: TestContext,
  options: {
    environment?: Record<string, string>
    limits?: Partial<RateLimitDeps>
    trustProxy?: string[]
  } = {},
): Promise<Door> => {
  const clock = { ms: 1_000_000 }
  const keys = new Map<string, { id: string; scopes: Scope[]; limit: Limit | null }>()
  const sessions = new Map<string, { accountId: string; isGuest: boolean }>()
  let lookUps = 0
  let made = 0
  let isAway = false
  const app = await createHttpServer({
    logger: pino({ level: 'silent' }),
    authenticator: createAuthenticator({
      findKey: async (digest) => {
        lookUps += 1
        const found = keys.get(digest)
        return found ? { ...found, expiresAtMs: null } : null
      },
      touchSession: async ({ digest }) => {
        lookUps += 1
        if (isAway) throw new SessionsAwayError()
        const found = sessions.get(digest)
        const life = { createdAtMs: 0, idleMs: 1_000, endsAtMs: 1e15, expiresAtMs: 1e15 }
        return found ? { ...found, ...life } : null
      },
      configuredKey: null,
      now: () => clock.ms,
    }),
    audit: { record: () => {} },
    metrics: createMetrics({ now: () => clock.ms }),
    limits: { ...limitsInMemory(clock, options.environment), ...options.limits },
    trustProxy: options.trustProxy ?? false,
    serializer: 'fast',
    requestTimeoutMs: 10_000,
    requestIdPrefix: 't',
    openBudget: null,
    creditSystem: { version: 'v1', rollbackMode: false },
    version: '0',
  })
  addRoutes(app)
  t.teardown(() => app.close())
  return {
    app,
    clock,
    lookUps: () => lookUps,
    loseSessions: () => {
      isAway = true
    },
    key(id, { scopes = ['admin'] as Scope[], limit = null } = {}) {
      const key = `ck_test_${createHash('sha256').update(id).digest('base64url').slice(0, 43)}`
      keys.set(keyHash(key), { id, scopes, limit })
      return key
    },
    session(accountId, isGuest = false) {
      made += 1
      const token = newSessionToken(accountId, (size) => Buffer.alloc(size, made))
      sessions.set(keyHash(token), { accountId, isGuest })
      return token
    },
    async call(path, { method = 'GET', as, body, headers = {}, from = '192.0.2.1' } = {}) {
      const reply = await app.inject({
        method,
        url: path,
        remoteAddress: from,
        headers: { ...(as !== undefined && { authorization: `Bearer ${as}` }), ...headers },
        ...(body !== undefined && { payload: body }),
      })
      const text = reply.body === '' ? '{}' : reply.body
      return { status: reply.statusCode, headers: reply.headers, body: JSON.parse(text) }
    },
  }
}

/** One route for each policy, and the webhook, whose signature is right when it says so. */
const addRoutes = (app: App): void => {
  const ok = async () => ({ ok: true })
  const open = { scopes: 'credits:read', session: 'shared' } as const
  const audit = { action: 'test', record: 'refusals' } as const
  app.get('/api', { config: { access: open } }, ok)
  app.get('/search', { config: { access: open, limit: 'search' } }, ok)
  app.get('/admin', { config: { access: 'admin' } }, ok)
  app.get('/public', { config: { access: 'public' } }, ok)
  app.get('/free', { config: { access: 'public', limit: null } }, ok)
  app.get('/own/:accountId', { config: { access: { scopes: 'admin', session: 'own' } } }, ok)
  app.post('/guest', { config: { access: 'public', limit: 'auth', audit } }, ok)
  app.post('/hold', { config: { access: open, limit: 'booking', audit } }, ok)
  const body = z.object({ accountId: z.string(), count: z.int().optional() })
  app.post('/buy', { config: { access: open, limit: 'payment', audit }, schema: { body } }, ok)
  for (const provider of ['stripe', 'creem']) {
    const config = { access: 'public', limit: 'webhook', audit } as const
    app.post(`/webhooks/${provider}`, { config }, async ({ headers }) => {
      if (headers.signature === 'right') return { ok: true }
      if (headers.signature === 'known') throw new AppError('hold_not_active', 'It is over')
      if (headers.signature === 'foreign') throw new AppError('unauthenticated', 'Who is it?')
      if (headers.signature === 'late') throw new Error('the database is away')
      throw Object.assign(new Error('the signature is wrong'), { statusCode: 400 })
    })
  }
}
