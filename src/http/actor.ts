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
export const COMING_SCOPES: readonly string[] = [
  'purchases:write',
  'invites:write',
  'sessions:write',
  'limits:write',
] satisfies readonly Scope[]
export type Scope = (typeof SCOPES)[number]

/** Who may call a route: anybody, or a key that has one of the scopes. */
export type Access = 'public' | Scope | readonly Scope[]

export type KeyActor = {
  readonly kind: 'key'
  readonly id: string
  readonly scopes: ReadonlySet<Scope>
}
export type Actor = { readonly kind: 'anonymous' } | KeyActor

export const ANONYMOUS: Actor = { kind: 'anonymous' }

/** How an actor stands in ledger rows and in the audit log. */
export const actorName = (actor: Actor): string =>
  actor.kind === 'key' ? `key:${actor.id}` : actor.kind

/** Whether the actor has one of the scopes; anybody has what is public. */
export function mayAccess(actor: Actor, access: Access): boolean {
  if (access === 'public') return true
  if (actor.kind === 'anonymous') return false
  if (actor.scopes.has('admin')) return true
  return scopesOf(access).some((scope) => actor.scopes.has(scope))
}

export const scopesOf = (access: Exclude<Access, 'public'>): readonly Scope[] =>
  typeof access === 'string' ? [access] : access
