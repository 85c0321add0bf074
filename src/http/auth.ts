import { hash } from 'node:crypto'
import type { FastifyRequest, RouteOptions } from 'fastify'
import { AppError } from '../errors.js'
import {
  type Access,
  type Actor,
  ANONYMOUS,
  type KeyActor,
  mayAccess,
  type Scope,
  scopesOf,
} from './actor.js'
import type { App } from './route.js'
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
}

export type AuthDeps = {
  /** The key with this SHA-256, unless it is unknown or revoked. */
  readonly findKey: (digest: string) => Promise<StoredKey | null>
  /** The operator's key from the environment: it may do everything. */
  readonly configuredKey: string | null
  readonly now: () => number
}

export type Authenticator = {
  /** Who calls: at once when the key is known here. Throws `unauthenticated`. */
  authenticate(header: string | undefined): Actor | Promise<Actor>
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

/**
 * Tells who calls from the `Authorization` header. Keys are looked up by their SHA-256 and
 * remembered for `KEY_CACHE_TTL_MS`: a revocation takes effect at once here, and elsewhere within
 * that time.
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
    if (stored === null) return null
    const actor: KeyActor = { kind: 'key', id: stored.id, scopes: new Set(stored.scopes) }
    const now = deps.now()
    const expiresAtMs = stored.expiresAtMs ?? Number.POSITIVE_INFINITY
    if (expiresAtMs <= now) return null
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
      const key = BEARER.exec(header)?.[1]
      if (key === undefined)
        throw new AppError('unauthenticated', 'Send Authorization: Bearer <key>')
      const digest = keyHash(key)
      if (digest === configured) return operator
      if (!KEY_SHAPE.test(key)) throw unknownKey()
      const entry = known.get(digest)
      const now = deps.now()
      if (entry && entry.freshTillMs > now) {
        if (entry.expiresAtMs > now) return entry.actor
        throw unknownKey()
      }
      return lookUpOnce(digest)
    },
    forget(digest) {
      generation += 1
      known.delete(digest)
      lookups.delete(digest)
    },
  }
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
  })
  app.addHook('onRequest', (request, _reply, done) => {
    const { access } = request.routeOptions.config
    // a public route serves everybody, whatever the credential; an unknown one is a 404
    if (access === undefined || access === 'public') return done()
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
  if (access === undefined || mayAccess(actor, access)) return undefined
  if (actor.kind === 'anonymous' || access === 'public') {
    return new AppError('unauthenticated', 'Send Authorization: Bearer <key>')
  }
  return forbidden(access)
}

/** The refusal of a key whose scopes do not reach. */
export function forbidden(access: Access): AppError {
  const scopes = access === 'public' ? [] : scopesOf(access)
  const detail = `The key lacks the scope ${scopes.join(' or ')}`
  return new AppError('forbidden', detail, { requiredScopes: scopes })
}

const unknownKey = (): AppError =>
  new AppError('unauthenticated', 'The API key is unknown, expired or revoked')
