import type { FastifyRequest } from 'fastify'
import { type AppError, hasCode } from '../errors.js'
import { type Actor, ANONYMOUS, knowsCallers } from './actor.js'
import type { Authenticator } from './auth.js'
import type { FailedKeys } from './failed-keys.js'
import { repeatedHeader } from './single-header.js'

/** Who is counted; `isCounted`: its address was already, before anybody knew who it is. */
export type CountedCaller =
  | { readonly actor: Actor; readonly isCounted: boolean }
  | { readonly refusal: AppError }

export type CallerDeps = {
  readonly authenticator: Pick<Authenticator, 'authenticate' | 'isAtHand'>
  readonly failedKeys: FailedKeys
}

/** Takes from what nobody in particular may do from this address; gives the refusal. */
export type CountAddress = () => Promise<AppError | undefined>

/**
 * Tells who calls. An open route asks nobody who they are, yet a back end that says so is not
 * limited there either, and a route that knows its callers is told. An API key that was never seen
 * here is counted by its address before the database is asked: made-up ones must not cost a look
 * each. What is no credential counts as none.
 */
export function createCallerOf({ authenticator, failedKeys }: CallerDeps) {
  async function find(request: FastifyRequest, credential: string): Promise<Actor> {
    const { access = 'public' } = request.routeOptions.config
    const refusal = repeatedHeader(request.raw.rawHeaders)
    if (refusal !== null && knowsCallers(access)) throw refusal
    try {
      const actor = await authenticator.authenticate(credential)
      if (knowsCallers(access)) request.actor = actor
      return actor
    } catch (error) {
      const isNone = hasCode(error, 'unauthenticated')
      if (isNone) failedKeys.add(credential)
      // who asks for what is its own must not be told it has nothing
      else if (knowsCallers(access)) throw error
      return ANONYMOUS
    }
  }

  return async (request: FastifyRequest, countAddress: CountAddress): Promise<CountedCaller> => {
    const { actor, headers } = request
    const { authorization } = headers
    if (actor.kind !== 'anonymous' || authorization === undefined) {
      return { actor, isCounted: false }
    }
    if (failedKeys.has(authorization)) return { actor: ANONYMOUS, isCounted: false }
    const isCounted = !authenticator.isAtHand(authorization)
    const refusal = isCounted ? await countAddress() : undefined
    return refusal ? { refusal } : { actor: await find(request, authorization), isCounted }
  }
}
