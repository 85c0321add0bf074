import type { Limit } from '../stores/rate-limit/store.js'

/** What a credential may do; `admin` includes all others. */
export const SCOPES = [
  'credits:read',
  'credits:write',
  'grants:write',
  'purchases:write',
  'invites:write',
  'sessions:write',
  'limits:write',
  'admin',
] as const
/** Keys may have these already; no route asks for them yet. */
export const COMING_SCOPES: readonly string[] = ['invites:write'] satisfies readonly Scope[]
export type Scope = (typeof SCOPES)[number]

/**
 * What a session reaches of a route: `own`: the account in the path must be its own, any other is a
 * 404; `narrowed`: the handler itself holds the answer to what is its own; `shared`: what is
 * nobody's in particular.
 */
export type SessionReach = 'own' | 'narrowed' | 'shared'

/** For keys with one of the scopes, and for sessions as far as they reach. */
export type SharedAccess = {
  readonly scopes: Scope | readonly Scope[]
  readonly session: SessionReach
}

/** For anybody; who shows a credential that reaches is known to the handler and is told more. */
export type OpenAccess = SharedAccess & { readonly anybody: true }

/**
 * Who may call a route: anybody, a key that has one of the scopes, a session alone, or both. What
 * does not name sessions is closed to them.
 */
export type Access = 'public' | 'session' | Scope | readonly Scope[] | SharedAccess | OpenAccess

export type KeyActor = {
  readonly kind: 'key'
  readonly id: string
  readonly scopes: ReadonlySet<Scope>
  /** How often it may call; without it, as often as it likes. */
  readonly limit?: Limit | null
}
export type SessionActor = {
  readonly kind: 'session'
  /** Tells sessions apart in rows and logs, and opens nothing. */
  readonly id: string
  readonly accountId: string
  readonly isGuest: boolean
}
export type Actor = { readonly kind: 'anonymous' } | KeyActor | SessionActor

export const ANONYMOUS: Actor = { kind: 'anonymous' }

/** How an actor stands in ledger rows and in the audit log. */
export const actorName = (actor: Actor): string =>
  actor.kind === 'anonymous' ? actor.kind : `${actor.kind}:${actor.id}`

/** Whether a route serves those who show no credential, or one that is none. */
export const isOpen = (access: Access): boolean => access === 'public' || knowsCallers(access)

/** Whether a route that is open to anybody is told all the same who calls. */
export const knowsCallers = (access: Access): boolean =>
  typeof access === 'object' && 'anybody' in access

/** Whether the actor may call the route at all; of what, `reachOf` tells. */
export const mayAccess = (actor: Actor, access: Access): boolean =>
  isOpen(access) || reaches(actor, access)

/** Whether the credential itself opens the route, or what of it is not for anybody. */
export function reaches(actor: Actor, access: Access): boolean {
  if (actor.kind === 'anonymous') return false
  if (actor.kind === 'session') return reachOf(access) !== null
  const scopes = scopesOf(access)
  if (scopes.length === 0) return false
  return actor.scopes.has('admin') || scopes.some((scope) => actor.scopes.has(scope))
}

const NO_SCOPES: readonly Scope[] = []

/** The scopes that open a route to a key; none of them does what is for sessions alone. */
export function scopesOf(access: Access): readonly Scope[] {
  if (access === 'public' || access === 'session') return NO_SCOPES
  if (typeof access === 'string') return [access]
  if (!('session' in access)) return access
  return typeof access.scopes === 'string' ? [access.scopes] : access.scopes
}

/** How far a session reaches; null: the route is closed to it. */
export function reachOf(access: Access): SessionReach | null {
  if (access === 'session' || access === 'public') return 'narrowed'
  return typeof access === 'object' && 'session' in access ? access.session : null
}

/** The one account whose data the actor may see; null: no such bound. */
export const ownerOf = (actor: Actor): string | null =>
  actor.kind === 'session' ? actor.accountId : null
