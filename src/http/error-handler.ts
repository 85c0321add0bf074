import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError, type ErrorCode } from '../errors.js'
import { toFailure } from './failure.js'
import { problemHeaders, toProblem } from './problem.js'
import type { RateLimits } from './rate-limits.js'
import { type App, pathOf } from './route.js'

/** Answers every failure, whatever its origin, with a problem document. */
export function registerErrorHandler(app: App, { afterFailure }: RateLimits): void {
  const methods = collectMethods(app)
  app.setErrorHandler((error, request, reply) => {
    const count = () => afterFailure(error, request, reply)
    const counting = request.withinBudget ? request.withinBudget(count) : count()
    if (counting === null) return sendProblem(error, request, reply)
    // while it was counted, the deadline may have answered
    return counting.then((refusal) => (reply.sent ? reply : sendProblem(refusal, request, reply)))
  })
  app.setNotFoundHandler((request, reply) => {
    const allow = methods(pathOf(request.url))
    if (allow.length === 0) {
      return sendProblem(new AppError('not_found', 'There is no such route'), request, reply)
    }
    const detail = `${request.method} is not allowed here, only ${allow.join(', ')}`
    return sendProblem(new AppError('method_not_allowed', detail, { allow }), request, reply)
  })
}

/** Sends the problem document of any failure, and leaves word of it for the hooks that follow. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  const failure = toFailure(error)
  const { code, message, status } = failure
  request.failure = { code, message }
  logFailure(failure, error, request)
  const place = { instance: pathOf(request.url), requestId: request.id }
  // as bytes, for to a text the framework would add a charset, which JSON does not have
  const body = Buffer.from(JSON.stringify(toProblem(failure, place)))
  return reply
    .code(status)
    .header('x-request-id', request.id)
    .headers(problemHeaders(failure))
    .send(body)
}

function logFailure(failure: AppError, error: unknown, request: FastifyRequest): void {
  const place = { requestId: request.id, method: request.method, route: request.routeOptions.url }
  if (failure.code === 'internal') {
    request.log.error({ ...place, err: error }, 'request failed')
  } else if (failure.status >= 500 && !isTurnedAway(failure)) {
    request.log.warn({ ...place, code: failure.code, err: failure.cause }, 'request refused')
  }
}

const TURNED_AWAY: ReadonlySet<ErrorCode> = new Set([
  'overloaded',
  'maintenance',
  'sessions_unavailable',
])

/** To turn somebody away must cost less than to serve them: the metrics count it, no line each. */
const isTurnedAway = ({ code, cause }: AppError): boolean =>
  TURNED_AWAY.has(code) && cause === undefined

/** Which methods a path has; asked only when a request matched no route. */
function collectMethods(app: App): (path: string) => readonly string[] {
  const patterns = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>()
  app.addHook('onRoute', ({ url, method }) => {
    const entry = patterns.get(url) ?? { pattern: patternOf(url), methods: new Set<string>() }
    for (const name of [method].flat()) entry.methods.add(name)
    patterns.set(url, entry)
  })
  return (path) => {
    const found = new Set<string>()
    for (const { pattern, methods } of patterns.values()) {
      if (!pattern.test(path)) continue
      for (const method of methods) found.add(method)
    }
    return [...found].sort()
  }
}

const patternOf = (url: string): RegExp => {
  const parts = url.split('/').map((part) => {
    if (part === '*') return '.*'
    return part.startsWith(':') ? '[^/]+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('/')}$`)
}
