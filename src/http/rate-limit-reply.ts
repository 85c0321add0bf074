import type { FastifyReply } from 'fastify'
import { AppError } from '../errors.js'
import type { Counted } from './rate-limit-subject.js'

/** How a call stands in one of its counts. */
export type Verdict = {
  readonly counted: Counted
  readonly isAllowed: boolean
  readonly remaining: number
  /** Until more can be taken again; of a refused call, until it could go through. */
  readonly resetMs: number
}

const POLICY = 'ratelimit-policy'
const STATE = 'ratelimit'
const REMAINING = 'x-ratelimit-remaining'

/**
 * Tells how the caller stands: `RateLimit-Policy` and `RateLimit` as the IETF's draft has them
 * since its eighth version, one member for each count, and the `X-RateLimit-` fields for the
 * tightest of them. All times are seconds from now.
 */
export function tellLimit(reply: FastifyReply, verdict: Verdict): void {
  const { name, limit } = verdict.counted
  const resetSeconds = secondsOf(verdict.resetMs)
  add(reply, POLICY, `"${name}";q=${limit.max};w=${secondsOf(limit.windowMs)}`)
  add(reply, STATE, `"${name}";r=${verdict.remaining};t=${resetSeconds}`)
  const before = reply.getHeader(REMAINING)
  if (before !== undefined && Number(before) <= verdict.remaining) return
  reply.header('x-ratelimit-limit', String(limit.max))
  reply.header(REMAINING, String(verdict.remaining))
  reply.header('x-ratelimit-reset', String(resetSeconds))
}

/** The refusal of a call that came too soon. */
export function rateLimited({ counted, resetMs }: Verdict): AppError {
  const { name, limit } = counted
  const windowSeconds = secondsOf(limit.windowMs)
  const retryAfterSeconds = Math.max(1, secondsOf(resetMs))
  const allowed = `${limit.max} calls in ${windowSeconds} seconds`
  const whose = name === 'key' ? 'This API key may make' : `The policy ${name} allows`
  return new AppError('rate_limited', `${whose} ${allowed}`, {
    policy: name,
    limit: limit.max,
    windowSeconds,
    retryAfterSeconds,
  })
}

const add = (reply: FastifyReply, header: string, member: string): void => {
  const before = reply.getHeader(header)
  reply.header(header, before === undefined ? member : `${before}, ${member}`)
}

const secondsOf = (ms: number): number => Math.ceil(ms / 1_000)
