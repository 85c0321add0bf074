import type { Logger } from 'pino'
import { type Core, type CoreDeps, composeCore } from './compose.js'
import { type ComposedApp, composeApp } from './compose-app.js'
import { ensureFirstKey, type FirstKeyDeps } from './compose-first-key.js'
import { collectorsOf } from './compose-metrics.js'
import type { Config } from './config.js'
import { createDrain } from './drain.js'
import { createMetrics, type Metrics } from './http/metrics.js'
import type { App } from './http/route.js'
import { VERSION } from './version.js'

export type ServiceDeps = {
  readonly config: Config
  readonly log: Logger
  readonly print: FirstKeyDeps['print']
  readonly onLost: CoreDeps['onLost']
  readonly signal: AbortSignal
  readonly sleep: (ms: number) => Promise<unknown>
}

export type Service = {
  readonly app: App
  readonly core: Core
  /**
   * Begins to accept requests, and the scheduled work; shows the first API key where that is ours
   * to make; gives the address.
   */
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
  const drain = createDrain(app.server, deps.sleep)
  const close = async () => {
    const { delayMs } = config.shutdown
    log.info({ delayMs }, 'stopping')
    try {
      // load balancers see that it is not ready, and send no more, while it still answers
      await deps.sleep(delayMs)
      await drain.run()
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
      // by its name it would be two servers, one for each version of IP
      const address = await app.listen({ port, host: host === 'localhost' ? '127.0.0.1' : host })
      await core.jobs.start()
      await ensureFirstKey({ ...core, print: deps.print, url: address })
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
  await composed.app.ready()
  return composed
}
