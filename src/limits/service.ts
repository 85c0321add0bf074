import { AppError } from '../errors.js'
import { isoOf } from '../http/schema.js'
import { invalidField } from '../http/validator.js'
import { POLICY_NAMES, type Policies, type PolicyName } from '../policies.js'
import type { LimitState, RateLimitStore } from '../stores/rate-limit/store.js'
import type { LimitCheck, RateLimitView } from './schema.js'

export type LimitsDeps = {
  readonly store: RateLimitStore
  readonly policies: Policies
  /** Ms since the epoch. */
  readonly now: () => number
}

export type Limits = {
  /** The policies as they are in force. */
  list(): RateLimitView[]
  /**
   * Takes units (1 or more), all or none of them. Throws `not_found` for an unknown policy and
   * `invalid_request` for a cost that the policy could never allow. A repeat takes again.
   */
  check(policy: string, identity: string, cost: number): Promise<LimitCheck>
  /** What a check of one unit would say now; takes nothing. Throws `not_found`. */
  peek(policy: string, identity: string): Promise<LimitCheck>
}

/**
 * The policies as a service for other back ends. Its counts are apart from those of the API itself:
 * what a back end counts for a user takes nothing from that user's calls here. All back ends share
 * the counts of an identity.
 */
export function createLimits({ store, policies, now }: LimitsDeps): Limits {
  const viewOf = (max: number, state: LimitState): LimitCheck => ({
    allowed: state.isAllowed,
    limit: max,
    remaining: state.remaining,
    resetAt: isoOf(now() + state.resetMs),
    retryAfterSeconds: Math.ceil(state.retryAfterMs / 1_000),
  })
  return {
    list: () =>
      POLICY_NAMES.map((policy) => {
        const { max, windowMs } = policies[policy]
        return { policy, limit: max, windowSeconds: windowMs / 1_000 }
      }),
    async check(policy, identity, cost) {
      const name = knownPolicy(policy)
      const limit = policies[name]
      if (cost > limit.max) {
        throw invalidField('cost', `Must be at most ${limit.max}, which is all of ${name}`)
      }
      return viewOf(limit.max, await store.take(keyOf(name, identity), limit, cost))
    },
    async peek(policy, identity) {
      const name = knownPolicy(policy)
      const limit = policies[name]
      return viewOf(limit.max, await store.peek(keyOf(name, identity), limit))
    },
  }
}

const keyOf = (policy: PolicyName, identity: string): string => `check:${policy}:${identity}`

function knownPolicy(name: string): PolicyName {
  const known = POLICY_NAMES.find((policy) => policy === name)
  if (known !== undefined) return known
  throw new AppError('not_found', `There is no policy of this name; known: ${POLICY_NAMES.join()}`)
}
