import type { FastifyReply, FastifyRequest } from 'fastify'
import { actorName } from './actor.js'
import type { Answer, IdempotencyRecords, Keep, OnceOptions } from './idempotency.js'
import { parseIdempotencyKey } from './idempotency-key.js'

/** What services are told of who calls. */
export type Caller = {
  readonly actor: string
  readonly requestId: string
  /** The caller's idempotency key; null when none was sent. */
  readonly idempotencyKey: string | null
  /** Whose idempotency keys these are: no session takes a back end's key. */
  readonly keySpace: 'api' | 'session'
}

/** The caller of a request; throws `invalid_request` for an unusable Idempotency-Key. */
export const callerOf = (request: FastifyRequest): Caller => ({
  actor: actorName(request.actor),
  requestId: request.id,
  idempotencyKey: parseIdempotencyKey(request.headers['idempotency-key']),
  keySpace: request.actor.kind === 'session' ? 'session' : 'api',
})

/** Tells that the answer was given before. */
export function markReplay(request: FastifyRequest, reply: FastifyReply): void {
  request.isReplay = true
  reply.header('idempotent-replayed', 'true')
}

/**
 * Does a write that leaves no ledger row once for its Idempotency-Key, sets the reply's status,
 * and gives the body to send. Without a key it is simply done. Work that would do harm when it is
 * done again must `keep` its answer in its own transaction.
 */
export type Once = <T>(
  request: FastifyRequest,
  reply: FastifyReply,
  work: OnceWork<T>,
  options?: OnceOptions,
) => Promise<T>

export type OnceWork<T> = (caller: Caller, keep: Keep<T>) => Promise<Answer<T>>

export type OnceDeps = {
  readonly records: IdempotencyRecords
  /** A digest, as a uuid, of JSON values. */
  readonly digest: (...values: readonly unknown[]) => string
}

/** Keys belong to the caller: another key of ours with the same text is another request. */
export function createOnce({ records, digest }: OnceDeps): Once {
  return async <T>(
    request: FastifyRequest,
    reply: FastifyReply,
    work: OnceWork<T>,
    options?: OnceOptions,
  ) => {
    const caller = callerOf(request)
    if (caller.idempotencyKey === null) {
      const { status, body } = await work(caller, async () => {})
      reply.code(status)
      return body
    }
    const { method, routeOptions, params, body } = request
    const claimed = {
      key: digest('once', whoseKey(request, caller), caller.idempotencyKey),
      digest: digest(method, routeOptions.url ?? '', params ?? null, body ?? null),
    }
    const answer = await records.once<T>(claimed, (keep) => work(caller, keep), options)
    if (answer.isReplay) markReplay(request, reply)
    reply.code(answer.status)
    return answer.body
  }
}

/** Callers without a name are told apart by where they call from. */
const whoseKey = ({ actor, ip }: FastifyRequest, caller: Caller): string =>
  actor.kind === 'anonymous' ? `${caller.actor}:${ip}` : caller.actor
