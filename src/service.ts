import { readFileSync } from 'node:fs'
import type { Logger } from 'pino'
import { findKey } from './admin/api-keys.js'
import { type Core, type CoreDeps, composeCore } from './compose.js'
import { collectorsOf } from './compose-metrics.js'
import type { Config } from './config.js'
import { createAuthenticator } from './http/auth.js'
import { createMetrics, type Metrics, metricsRoute } from './http/metrics.js'
import type { App } from './http/route.js'
import { createHttpServer } from './http/server.js'

export type ServiceDeps = {
  readonly config: Config
  readonly log: Logger
  readonly print: CoreDeps['print']
  readonly onLost: CoreDeps['onLost']
  readonly sleep: (ms: number) => Promise<unknown>
}

export type Service = {
  readonly app: App
  readonly core: Core
  /** Begins to accept requests, and the scheduled work; gives the address. */
  listen(): Promise<string>
  /** Whether a stop is under way: then the service is not ready for new callers. */
  isStopping(): boolean
  /** Answers everything that was accepted, then stops. Safe to call again. */
  close(): Promise<void>
}

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string }

/** The whole service, ready to listen. */
export const createService = async (deps: ServiceDeps): Promise<Service> => {
  const { config, log } = deps
  const metrics = createMetrics({ now: () => performance.now() })
  const core = await composeCore({ ...deps, onBatch: metrics.noteBatch })
  let closing: Promise<void> | undefined
  const isStopping = () => closing !== undefined
  const app = await composeApp(core, metrics, isStopping).catch(async (error) => {
    await core.close()
    throw error
  })
  const close = async () => {
    log.info({ delayMs: config.shutdown.delayMs }, 'stopping')
    // load balancers see that it is not ready, and send no more, while it still answers
    await deps.sleep(config.shutdown.delayMs)
    await app.close()
    await core.close()
    log.info('stopped')
  }
  return {
    app,
    core,
    isStopping,
    async listen() {
      const { port, host } = config.http
      const address = await app.listen({ port, host })
      await core.jobs.start()
      return address
    },
    close() {
      closing ??= close()
      return closing
    },
  }
}

const composeApp = async (
  core: Core,
  metrics: Metrics,
  isStopping: () => boolean,
): Promise<App> => {
  const { config, log, db, now } = core
  metrics.collect(collectorsOf(core))
  const app = await createHttpServer({
    logger: log,
    authenticator: createAuthenticator({
      findKey: (digest) => findKey(db.orm, digest),
      configuredKey: config.apiKey,
      now,
    }),
    audit: { record: (entry) => log.info({ audit: entry }, 'audit') },
    metrics,
    trustProxy: config.http.trustProxy,
    serializer: config.hasStrictReplies ? 'strict' : 'fast',
    requestIdPrefix: core.instanceId.slice(0, 8),
    version,
  })
  app.addHook('onSend', async (_request, reply) => {
    // clients that keep connections open must not find them closed under their next request
    if (isStopping()) reply.header('connection', 'close')
  })
  metricsRoute(app, metrics)
  await app.ready()
  return app
}
