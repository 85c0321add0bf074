import type { FastifyRequest } from 'fastify'
import { AppError } from '../errors.js'
import type { Policies, PolicyName } from '../policies.js'
import type { Limit } from '../stores/rate-limit/store.js'
import type { Actor, KeyActor, SessionActor } from './actor.js'
import { networkOf } from './network.js'
import { ACCOUNT_ID } from './schema.js'

/** What a call is counted under: a policy, or the limit that its API key has of its own. */
export type LimitName = PolicyName | 'key'

/** One count that a call takes part in. */
export type Counted = {
  readonly name: LimitName
  /** In the store, where it is apart from the limits that other services ask for. */
  readonly key: string
  readonly limit: Limit
}

export type SubjectRules = {
  readonly policies: Policies
  /** Whether API keys are held to the policies like everybody. */
  readonly coverApiKeys: boolean
}

/** Who calls, and the account for which an API key does. */
export type Subject = { readonly actor: Actor; readonly endUser: string | null }

/** Names the end user for whom a back end calls. */
export const ON_BEHALF_OF = 'on-behalf-of'

/**
 * The account for which an API key calls; null: for nobody in particular. Throws what is wrong
 * with the header, for nobody else may send it.
 */
export function endUserOf({ headers }: FastifyRequest, actor: Actor): string | null {
  const header = headers[ON_BEHALF_OF]
  if (header === undefined) return null
  if (actor.kind === 'session') {
    throw new AppError('forbidden', 'On-Behalf-Of is for API keys: a session is its own user')
  }
  if (actor.kind === 'anonymous') {
    throw new AppError('unauthenticated', 'On-Behalf-Of needs an API key')
  }
  if (typeof header === 'string' && ACCOUNT_ID.test(header)) return header
  throw new AppError('invalid_request', 'The header On-Behalf-Of must be one account id', {
    errors: [{ in: 'header', path: ON_BEHALF_OF, message: 'Must be one account id' }],
  })
}

/**
 * What a call of a route is counted under, the widest first; nothing when it is not limited.
 */
export function countsOf(
  rules: SubjectRules,
  policy: PolicyName,
  request: FastifyRequest,
  { actor, endUser }: Subject,
): readonly Counted[] {
  if (actor.kind === 'key') return countsOfKey(rules, policy, request, actor, endUser)
  if (actor.kind === 'session') return [countOfSession(rules, policy, request, actor)]
  return [countOf(rules, policy, addressOf(request))]
}

/** Failed credentials, by the address they came from. */
export const countOfFailure = (rules: SubjectRules, request: FastifyRequest): Counted =>
  countOf(rules, 'auth', addressOf(request))

/** Webhooks are told apart by their provider, which is their route, and by their source. */
export const countOfWebhook = (rules: SubjectRules, request: FastifyRequest): Counted =>
  countOf(rules, 'webhook', `${request.routeOptions.url ?? ''}:${addressOf(request)}`)

function countsOfKey(
  rules: SubjectRules,
  policy: PolicyName,
  request: FastifyRequest,
  { id, limit }: KeyActor,
  endUser: string | null,
): readonly Counted[] {
  const own = limit ? [{ name: 'key' as const, key: `http:key:${id}`, limit }] : []
  if (policy === 'payment') {
    const payer = accountIn(request) ?? endUser
    return payer === null ? own : [...own, countOf(rules, policy, accountKey(payer))]
  }
  if (endUser !== null) return [...own, countOf(rules, policy, accountKey(endUser))]
  if (limit || !rules.coverApiKeys) return own
  // `booking` is what one user may hold back, and a back end holds for all of them
  return [countOf(rules, policy === 'booking' ? 'api' : policy, `key:${id}`)]
}

function countOfSession(
  rules: SubjectRules,
  policy: PolicyName,
  request: FastifyRequest,
  { accountId, isGuest }: SessionActor,
): Counted {
  if (policy === 'auth') return countOf(rules, policy, addressOf(request))
  const isCheckout = policy === 'payment' && isGuest
  return countOf(rules, isCheckout ? 'guestCheckout' : policy, accountKey(accountId))
}

const countOf = ({ policies }: SubjectRules, name: PolicyName, identity: string): Counted => ({
  name,
  key: `http:${name}:${identity}`,
  limit: policies[name],
})

const accountKey = (accountId: string): string => `account:${accountId}`

const addressOf = ({ ip, socket }: FastifyRequest): string =>
  `ip:${networkOf(ip) ?? networkOf(socket.remoteAddress ?? '') ?? 'unknown'}`

/** The account that a purchase is for; also where the rest of what was sent is malformed. */
function accountIn({ params, body }: FastifyRequest): string | null {
  for (const source of [params, body]) {
    if (typeof source !== 'object' || source === null) continue
    const { accountId } = source as { accountId?: unknown }
    if (typeof accountId === 'string' && ACCOUNT_ID.test(accountId)) return accountId
  }
  return null
}
