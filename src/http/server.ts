import fastify, { type FastifyBaseLogger, LogController } from 'fastify'
import { type Actor, ANONYMOUS } from './actor.js'
import { type AuditSink, registerAudit } from './audit.js'
import { type Authenticator, registerAuth } from './auth.js'
import { BODY_LIMIT_BYTES, registerBodyParsers } from './body.js'
import { createClientErrorHandler, createExpectationHandler, missingHost } from './client-error.js'
import { registerDeadline } from './deadline.js'
import { registerErrorHandler, sendProblem } from './error-handler.js'
import type { Metrics } from './metrics.js'
import { registerOpenapi } from './openapi.js'
import { registerQueryCheck } from './query.js'
import { type RateLimitDeps, registerRateLimits } from './rate-limits.js'
import { createRequestId } from './request-id.js'
import { registerRequestLog } from './request-log.js'
import { type App, type Failure, MAX_PARAM_LENGTH } from './route.js'
import { type SerializerMode, serializerCompiler } from './serializer.js'
import { registerStoreBudget, type WithinBudget } from './store-budget.js'
import { type CreditSystem, registerSystemHeaders } from './system-headers.js'
import { validatorCompiler } from './validator.js'

/** Slow senders are cut off; a body of the largest kind takes far less on any link. */
const REQUEST_TIMEOUT_MS = 30_000
/** Longer than the idle time of common load balancers, so that they close first. */
const KEEP_ALIVE_TIMEOUT_MS = 72_000

export type HttpDeps = {
  readonly logger: FastifyBaseLogger
  readonly authenticator: Authenticator
  readonly audit: AuditSink
  readonly metrics: Metrics
  readonly limits: RateLimitDeps
  /** Which proxies' forwarded headers count. */
  readonly trustProxy: boolean | number | readonly string[]
  readonly serializer: SerializerMode
  /** Begins the ids of requests, so that those of several instances differ. */
  readonly requestIdPrefix: string
  /** A request that has no answer by then is answered 503. */
  readonly requestTimeoutMs: number
  /** What a request may spend on the stores, for each one anew; null: without a bound. */
  readonly openBudget: (() => WithinBudget) | null
  /** Told with every reply that has to do with credits. */
  readonly creditSystem: CreditSystem
  readonly version: string
}

/** A server with everything that is HTTP and belongs to no feature, and no route of a feature. */
export async function createHttpServer(deps: HttpDeps): Promise<App> {
  const newId = createRequestId(deps.requestIdPrefix)
  const server = fastify({
    loggerInstance: deps.logger,
    logController: new LogController({ disableRequestLogging: true }),
    // a child logger for each request costs more than the request; ids are logged where needed
    childLoggerFactory: (logger) => logger,
    genReqId: newId,
    trustProxy: trustOf(deps.trustProxy),
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    return503OnClosing: false,
    clientErrorHandler: createClientErrorHandler(newId),
    // node would refuse it without a word: missingHost does
    http: { requireHostHeader: false },
    frameworkErrors: (error, request, reply) => {
      request.failure = null
      return sendProblem(error, request, reply)
    },
  })
  // in place of the type provider's own compilers: these tell the fields and are quicker
  server.setValidatorCompiler(validatorCompiler)
  server.setSerializerCompiler(serializerCompiler(deps.serializer))
  server.server.on('checkExpectation', createExpectationHandler(newId))
  const app = server as unknown as App
  decorate(app)
  registerStoreBudget(app, deps.openBudget)
  registerSystemHeaders(app, deps.creditSystem)
  const limits = await registerRateLimits(app, deps.limits, deps.authenticator)
  registerErrorHandler(app, limits)
  registerDeadline(app, deps.requestTimeoutMs)
  registerBodyParsers(app)
  registerQueryCheck(app)
  registerAuth(app, deps.authenticator)
  deps.metrics.observe(app)
  registerAudit(app, deps.audit)
  registerRequestLog(app, deps.logger)
  await registerOpenapi(app, { version: deps.version })
  return app
}

function decorate(app: App): void {
  app.decorateRequest<Actor>('actor', null as never)
  app.decorateRequest<Failure | null>('failure', null)
  app.decorateRequest('isReplay', false)
  app.addHook('onRequest', (request, reply, done) => {
    request.actor = ANONYMOUS
    reply.header('x-request-id', request.id)
    done(missingHost(request.raw) ?? undefined)
  })
}

/** A number is how many proxies stand before us; the framework itself would trust none of them. */
function trustOf(trust: HttpDeps['trustProxy']) {
  if (typeof trust === 'boolean') return trust
  if (typeof trust !== 'number') return [...trust]
  return (_address: string, hop: number) => hop < trust
}
