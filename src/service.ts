import type { Logger } from 'pino'
import { type Core, type CoreDeps, composeCore } from './compose.js'
import { type ComposedApp, composeApp } from './compose-app.js'
import { collectorsOf } from './compose-metrics.js'
import type { Config } from './config.js'
import { createMetrics, type Metrics } from './http/metrics.js'
import type { App } from './http/route.js'
import { VERSION } from './version.js'

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

/** The whole service, ready to listen. */
export const createService = async (deps: ServiceDeps): Promise<Service> => {
  const { config, log } = deps
  const metrics = createMetrics({ now: () => performance.now() })
  const core = await composeCore({ ...deps, onBatch: metrics.noteBatch })
  let closing: Promise<void> | undefined
  const isStopping = () => closing !== undefined
  const { app, close: closeApp } = await serve(core, metrics, isStopping).catch(async (error) => {
    await core.close()
    throw error
  })
  const close = async () => {
    log.info({ delayMs: config.shutdown.delayMs }, 'stopping')
    // load balancers see that it is not ready, and send no more, while it still answers
    await deps.sleep(config.shutdown.delayMs)
    try {
      await closeApp()
    } finally {
      await core.close()
    }
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

/** The routes over the core, as far as the life of the process touches them. */
const serve = async (
  core: Core,
  metrics: Metrics,
  isStopping: () => boolean,
): Promise<ComposedApp> => {
  metrics.collect(collectorsOf(core))
  const composed = await composeApp(core, { metrics, version: VERSION, isStopping })
  // clients that keep connections open must not find them closed under their next request
  composed.app.server.prependListener('request', (_request, response) => {
    if (isStopping()) response.setHeader('connection', 'close')
  })
  await composed.app.ready()
  return composed
}
