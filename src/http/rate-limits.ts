import rateLimit from '@fastify/rate-limit'
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { AppError, hasCode } from '../errors.js'
import type { PolicyName } from '../policies.js'
import type { RateLimitStore } from '../stores/rate-limit/store.js'
import { ANONYMOUS, isOpen } from './actor.js'
import type { Authenticator } from './auth.js'
import { createFailedKeys } from './failed-keys.js'
import { toFailure } from './failure.js'
import type { NoteLimit } from './limit-metrics.js'
import { type CallerDeps, createCallerOf } from './rate-limit-caller.js'
import { rateLimited, tellLimit, type Verdict } from './rate-limit-reply.js'
import { pluginStore } from './rate-limit-store.js'
import {
  type Counted,
  countOfFailure,
  countOfWebhook,
  countsOf,
  endUserOf,
  ON_BEHALF_OF,
  type Subject,
  type SubjectRules,
} from './rate-limit-subject.js'
import type { App } from './route.js'

export type RateLimitDeps = SubjectRules & {
  readonly store: RateLimitStore
  /** Whether webhooks count although their signature is right. */
  readonly coverVerifiedWebhooks: boolean
  readonly note: NoteLimit
  /** Never goes back. */
  readonly nowMs: () => number
}

export type RateLimits = {
  /**
   * Counts a failure that came before its route could count it, such as a credential that is none.
   * Gives the refusal to answer with, or null at once when there is nothing to count.
   */
  afterFailure(
    error: unknown,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> | null
}

declare module 'fastify' {
  interface FastifyRequest {
    /** What it was counted under last; null: it was not. */
    counted: Counted | null
  }
}

/** Where nothing is declared. */
const DEFAULT_POLICY: PolicyName = 'api'

/** The policy of a route by its config; null: none. */
export const policyOf = (config: RouteOptions['config']): PolicyName | null =>
  config?.limit === undefined ? DEFAULT_POLICY : config.limit

/**
 * Holds every route that is registered after it to the policy it declares. Counts, and how long
 * they last, are @fastify/rate-limit's to ask our store for; who is counted where is told by
 * countsOf. A call with an API key that has no limit passes without a promise.
 */
export async function registerRateLimits(
  app: App,
  deps: RateLimitDeps,
  authenticator: Authenticator,
): Promise<RateLimits> {
  app.decorateRequest<Counted | null>('counted', null)
  await app.register(rateLimit, { global: false, store: pluginStore(deps.store) })
  const failedKeys = createFailedKeys(deps.nowMs)
  const count = createCount(app, deps)
  const enforce = createEnforce(deps, { authenticator, failedKeys }, count)
  attach(app, enforce)
  app.addHook('onRequest', (request, _reply, done) => {
    const isKnown = failedKeys.has(request.headers.authorization) && !isPublic(request)
    done(isKnown ? new AppError('unauthenticated', 'The API key was refused just now') : undefined)
  })
  return {
    afterFailure(error, request, reply) {
      const policy = policyOf(request.routeOptions.config)
      if (policy === null || request.routeOptions.url === undefined) return null
      if (toFailure(error).status >= 500) return null
      const counts = countsOfFailed(deps, error, request, policy)
      if (counts.length === 0) return null
      const { authorization } = request.headers
      if (hasCode(error, 'unauthenticated') && authorization !== undefined) {
        failedKeys.add(authorization)
      }
      return count(request, reply, counts).then((refusal) => refusal ?? error)
    },
  }
}

const isPublic = (request: FastifyRequest): boolean => {
  const { access } = request.routeOptions.config
  return access === undefined || isOpen(access)
}

function countsOfFailed(
  deps: RateLimitDeps,
  error: unknown,
  request: FastifyRequest,
  policy: PolicyName,
): readonly Counted[] {
  const isWebhook = policy === 'webhook'
  if (!isWebhook && hasCode(error, 'unauthenticated') && request.headers.authorization) {
    return [countOfFailure(deps, request)]
  }
  if (request.counted !== null) return []
  if (isWebhook) return isUnverified(error) ? [countOfWebhook(deps, request)] : []
  // nobody in particular pays for anything
  if (policy === 'payment' && request.actor.kind === 'anonymous') return []
  return countsOf(deps, policy, request, { actor: request.actor, endUser: null })
}

/** A provider's event that was refused for what it is, and not for the state it met. */
const isUnverified = (error: unknown): boolean => [400, 401, 403].includes(toFailure(error).status)

type Count = (
  request: FastifyRequest,
  reply: FastifyReply,
  counts: readonly Counted[],
) => Promise<AppError | undefined>

/** Takes from each count in turn, tells the caller, and gives the first refusal. */
function createCount(app: App, { note }: RateLimitDeps): Count {
  const limiter = app.createRateLimit({
    keyGenerator: (request) => countedOf(request).key,
    max: (request) => countedOf(request).limit.max,
    timeWindow: (request) => countedOf(request).limit.windowMs,
  })

  async function take(request: FastifyRequest, counted: Counted): Promise<Verdict> {
    request.counted = counted
    const outcome = await limiter(request)
    // the plugin's word for a caller on a list of exceptions, which we have none of
    if (outcome.isAllowed) throw new Error('a call was not counted')
    const { isExceeded, remaining, ttl } = outcome
    return { counted, isAllowed: !isExceeded, remaining, resetMs: ttl }
  }

  return async (request, reply, counts) => {
    for (const counted of counts) {
      try {
        const verdict = await take(request, counted)
        note(counted.name, verdict.isAllowed ? 'allowed' : 'refused')
        tellLimit(reply, verdict)
        if (!verdict.isAllowed) return rateLimited(verdict)
      } catch (error) {
        note(counted.name, 'failed')
        return new AppError('overloaded', 'The rate limits can not be told; try again', {}, error)
      }
    }
    return undefined
  }
}

function countedOf({ counted }: FastifyRequest): Counted {
  if (counted === null) throw new Error('nothing to count')
  return counted
}

type Enforce = (
  policy: PolicyName,
  request: FastifyRequest,
  reply: FastifyReply,
  done: (error?: Error) => void,
) => void

function createEnforce(deps: RateLimitDeps, caller: CallerDeps, count: Count): Enforce {
  const callerOf = createCallerOf(caller)
  async function enforce(policy: PolicyName, request: FastifyRequest, reply: FastifyReply) {
    if (policy === 'webhook') {
      const counts = deps.coverVerifiedWebhooks ? [countOfWebhook(deps, request)] : []
      return count(request, reply, counts)
    }
    const take = (subject: Subject) =>
      count(request, reply, countsOf(deps, policy, request, subject))
    const caller = await callerOf(request, () => take({ actor: ANONYMOUS, endUser: null }))
    if ('refusal' in caller) return caller.refusal
    const { actor, isCounted } = caller
    const endUser = endUserOf(request, actor)
    return isCounted && actor.kind === 'anonymous' ? undefined : take({ actor, endUser })
  }

  return (policy, request, reply, done) => {
    const { actor, headers } = request
    const isUnlimited = actor.kind === 'key' && !actor.limit && !deps.coverApiKeys
    if (isUnlimited && policy !== 'payment' && headers[ON_BEHALF_OF] === undefined) return done()
    enforce(policy, request, reply).then(done, done)
  }
}

/**
 * Gives every route its hook. Which policy it has is read when all are there, since a scope within
 * may have the last word on the config of its routes.
 */
function attach(app: App, enforce: Enforce): void {
  app.addHook('onRoute', (route) => {
    const stage = route.config?.limit === 'payment' ? 'preHandler' : 'onRequest'
    const before = [route[stage] ?? []].flat()
    let policy: PolicyName | null | undefined
    const hook = (request: FastifyRequest, reply: FastifyReply, done: (e?: Error) => void) => {
      if (policy === undefined) policy = policyOf(route.config)
      if (policy === null) return done()
      enforce(policy, request, reply, done)
    }
    route[stage] = [...before, hook] as never
  })
}
