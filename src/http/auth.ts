import { hash } from 'node:crypto'
import type { FastifyRequest, RouteOptions } from 'fastify'
import { AppError, accountNotFound } from '../errors.js'
import type { Limit } from '../stores/rate-limit/store.js'
import type { LiveSession, SessionId } from '../stores/session/store.js'
import {
  type Access,
  type Actor,
  ANONYMOUS,
  isOpen,
  type KeyActor,
  mayAccess,
  reachOf,
  type Scope,
  type SessionActor,
  scopesOf,
} from './actor.js'
import type { App } from './route.js'
import { SESSION_PREFIX, sessionIdOf, sessionName } from './session-token.js'
import { repeatedHeader } from './single-header.js'

/** How long another instance may still accept a key after it was revoked elsewhere. */
export const KEY_CACHE_TTL_MS = 5_000
/** Keys in use at once in one instance; beyond it the longest known is looked up again. */
const MAX_CACHED_KEYS = 10_000
/** Keys made here; anything else can only be the configured one. */
const KEY_SHAPE = /^ck_(?:live|test)_[A-Za-z0-9_-]{43}$/
const BEARER = /^Bearer +([^\s]+) *$/i

/** The actor of the key given by the environment. */
const CONFIGURED_KEY_ID = 'env'

export type StoredKey = {
  readonly id: string
  readonly scopes: readonly Scope[]
  readonly expiresAtMs: number | null
  /** How often it may call; without it, as often as it likes. */
  readonly limit?: Limit | null
}

export type AuthDeps = {
  /** The key with this SHA-256, unless it is unknown or revoked. */
  readonly findKey: (digest: string) => Promise<StoredKey | null>
  /** The session, prolonged by this use; null: unknown, expired or revoked. */
  readonly touchSession: (id: SessionId) => Promise<LiveSession | null>
  /** The operator's key from the environment: it may do everything. */
  readonly configuredKey: string | null
  readonly now: () => number
}

export type Authenticator = {
  /**
   * Who calls: at once when the key is known here. Throws `unauthenticated`, and
   * `sessions_unavailable` while nobody can tell whose session it is.
   */
  authenticate(header: string | undefined): Actor | Promise<Actor>
  /** Whether telling whose it is costs no look into the database: all but a key never seen here. */
  isAtHand(header: string): boolean
  /** Forgets a key at once, for when it is revoked here. */
  forget(digest: string): void
}

type Cached = {
  readonly actor: KeyActor
  readonly expiresAtMs: number
  readonly freshTillMs: number
}

/** The form in which keys are stored and compared. */
export const keyHash = (key: string): string => hash('sha256', key)

/** The credential of an `Authorization` header; null: it holds none. */
export const bearerOf = (header: string): string | null => BEARER.exec(header)?.[1] ?? null

/**
 * Tells who calls from the `Authorization` header. Keys are looked up by their SHA-256 and
 * remembered for `KEY_CACHE_TTL_MS`: a revocation takes effect at once here, and elsewhere within
 * that time. A session is asked for at each use, so its revocation takes effect at once everywhere.
 */
export function createAuthenticator(deps: AuthDeps): Authenticator {
  const known = new Map<string, Cached>()
  const lookups = new Map<string, Promise<KeyActor | null>>()
  const configured = deps.configuredKey === null ? null : keyHash(deps.configuredKey)
  const operator: KeyActor = { kind: 'key', id: CONFIGURED_KEY_ID, scopes: new Set(['admin']) }

  /** A key just revoked must not come back by a lookup that began before. */
  let generation = 0

  async function lookUp(digest: string): Promise<KeyActor | null> {
    const begun = generation
    const stored = await deps.findKey(digest)
    const now = deps.now()
    const expiresAtMs = stored?.expiresAtMs ?? Number.POSITIVE_INFINITY
    if (stored === null || expiresAtMs <= now) {
      known.delete(digest)
      return null
    }
    const { id, limit = null } = stored
    const actor: KeyActor = { kind: 'key', id, scopes: new Set(stored.scopes), limit }
    if (begun === generation) {
      remember(digest, { actor, expiresAtMs, freshTillMs: now + KEY_CACHE_TTL_MS })
    }
    return actor
  }

  function remember(digest: string, entry: Cached): void {
    known.delete(digest)
    known.set(digest, entry)
    if (known.size <= MAX_CACHED_KEYS) return
    const [oldest] = known.keys()
    if (oldest !== undefined) known.delete(oldest)
  }

  /** Many calls at once with one key ask the database once. */
  async function lookUpOnce(digest: string): Promise<Actor> {
    const lookup = lookups.get(digest) ?? lookUp(digest).finally(() => lookups.delete(digest))
    lookups.set(digest, lookup)
    const actor = await lookup
    if (actor === null) throw unknownKey()
    return actor
  }

  return {
    authenticate(header) {
      if (header === undefined) return ANONYMOUS
      const key = bearerOf(header)
      if (key === null) throw noCredential()
      const digest = keyHash(key)
      if (digest === configured) return operator
      if (!KEY_SHAPE.test(key)) {
        const session = sessionIdOf(key, digest)
        if (session === null) throw key.startsWith(SESSION_PREFIX) ? unknownSession() : unknownKey()
        return sessionActor(deps.touchSession, session)
      }
      const entry = known.get(digest)
      const now = deps.now()
      if (entry && entry.freshTillMs > now) {
        if (entry.expiresAtMs > now) return entry.actor
        throw unknownKey()
      }
      return lookUpOnce(digest)
    },
    isAtHand(header) {
      const key = bearerOf(header)
      if (key === null || !KEY_SHAPE.test(key)) return true
      const digest = keyHash(key)
      return digest === configured || known.has(digest)
    },
    forget(digest) {
      generation += 1
      known.delete(digest)
      lookups.delete(digest)
    },
  }
}

async function sessionActor(touch: AuthDeps['touchSession'], id: SessionId): Promise<SessionActor> {
  const session = await touch(id)
  if (session === null) throw unknownSession()
  const { accountId, isGuest } = session
  return { kind: 'session', id: sessionName(id), accountId, isGuest }
}

/**
 * Knows the caller before the body is read, and holds every route to the access it declares. The
 * service does not start with a route that declares none.
 */
export function registerAuth(app: App, authenticator: Authenticator): void {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    routes.push(route)
  })
  app.addHook('onReady', async () => {
    // only now: hooks of the scopes within, such as that of the document, have spoken too
    const undeclared = routes
      .filter(({ config }) => config?.access === undefined)
      .map(({ method, url }) => `${method} ${url}`)
    if (undeclared.length > 0) throw new Error(`routes without access: ${undeclared.join(', ')}`)
    const unbound = routes
      .filter(({ config, url }) => isOwn(config?.access) && !url.includes('/:accountId'))
      .map(({ method, url }) => `${method} ${url}`)
    if (unbound.length > 0) throw new Error(`own of which account? ${unbound.join(', ')}`)
  })
  app.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config
    // a public route serves everybody, whatever the credential; an unknown one is a 404
    if (access === undefined || isOpen(access)) return done()
    const refusal = repeatedHeader(request.raw.rawHeaders)
    if (refusal !== null) return done(refusal)
    let actor: Actor | Promise<Actor>
    try {
      actor = authenticator.authenticate(request.headers.authorization)
    } catch (error) {
      return done(error as Error)
    }
    if (!(actor instanceof Promise)) return done(admit(request, actor))
    actor.then(
      (known) => done(admit(request, known)),
      (error: Error) => done(error),
    )
  })
}

function admit(request: FastifyRequest, actor: Actor): AppError | undefined {
  const { access } = request.routeOptions.config
  request.actor = actor
  if (access === undefined) return undefined
  if (!mayAccess(actor, access)) {
    return actor.kind === 'anonymous' ? noCredential() : forbidden(actor, access)
  }
  return actor.kind === 'session' ? refuseForeign(request, actor) : undefined
}

const isOwn = (access: Access | undefined): boolean =>
  access !== undefined && reachOf(access) === 'own'

/** Before anything is read or checked, so that it tells nothing of another's account. */
function refuseForeign(request: FastifyRequest, actor: SessionActor): AppError | undefined {
  if (!isOwn(request.routeOptions.config.access)) return undefined
  const { accountId = '' } = request.params as { accountId?: string }
  return accountId === actor.accountId ? undefined : accountNotFound(accountId)
}

/** The refusal of a known caller whose credential does not reach. */
export function forbidden(actor: Actor, access: Access): AppError {
  const requiredScopes = scopesOf(access)
  if (actor.kind === 'session') {
    return new AppError('forbidden', 'This is not open to sessions', { requiredScopes })
  }
  if (access === 'session') return new AppError('forbidden', 'This is for sessions alone')
  const detail = `The key lacks the scope ${requiredScopes.join(' or ')}`
  return new AppError('forbidden', detail, { requiredScopes })
}

const noCredential = (): AppError =>
  new AppError('unauthenticated', 'Send Authorization: Bearer <key>')

const unknownSession = (): AppError =>
  new AppError('unauthenticated', 'The session is unknown, expired or revoked')

const unknownKey = (): AppError =>
  new AppError('unauthenticated', 'The API key is unknown, expired or revoked')
