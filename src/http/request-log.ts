import type { FastifyBaseLogger } from 'fastify'
import type { App } from './route.js'

/**
 * At the levels debug and trace, one line for each request: what was called, by its pattern, and
 * what came of it. No path, query, header or body: they hold what a log must not. At other levels
 * nothing is registered, so that it costs nothing; the metrics count all calls anyway.
 */
export function registerRequestLog(app: App, logger: FastifyBaseLogger): void {
  if (logger.level !== 'debug' && logger.level !== 'trace') return
  app.addHook('onResponse', (request, reply, done) => {
    const { id: requestId, method, failure } = request
    const line = {
      requestId,
      method,
      route: request.routeOptions.url ?? 'unmatched',
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
      ...(failure !== null && { code: failure.code }),
    }
    logger.debug(line, 'request')
    done()
  })
}
