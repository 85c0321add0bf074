import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'
import { type Config, loadConfig, secretsOf } from './config.js'
import { explain } from './explain.js'
import { createLog } from './log.js'
import { createService, type Service } from './service.js'

/** Added to the time a stop may take, so that the stop's own limits come first. */
const EXIT_SLACK_MS = 1_000

/** Ctrl-C under npm arrives twice: once from the terminal, once from npm. */
const REPEATED_SIGNAL_MS = 1_000

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

const main = async (): Promise<void> => {
  if (existsSync('.env')) process.loadEnvFile('.env')
  const config = loadConfig(process.env)
  const log = createLog({ level: config.logLevel, secrets: secretsOf(config) })
  const stopping = new AbortController()
  const starting = createService({
    config,
    log,
    sleep,
    signal: stopping.signal,
    print: (text) => process.stdout.write(text),
    onLost: (error) => {
      log.fatal({ err: error }, 'the database is lost: stopping')
      process.exitCode = 1
      stop()
    },
  })
  const stop = stopGracefully(starting, config.shutdown, log, () => stopping.abort())
  const service = await starting
  try {
    if (!service.isStopping()) await announce(service, log)
  } catch (error) {
    await service.close()
    throw error
  }
}

const announce = async (service: Service, log: Logger): Promise<void> => {
  const url = await service.listen()
  log.info({ url, database: service.core.db.description }, 'ready')
}

/** On a signal, or an error that nobody caught, the service is closed; gives what does the same. */
const stopGracefully = (
  starting: Promise<Service>,
  { delayMs, timeoutMs }: Config['shutdown'],
  log: Logger,
  onStop: () => void,
): (() => void) => {
  const { close } = closeWithGrace(
    { delay: delayMs + timeoutMs + EXIT_SLACK_MS, skip: [...SIGNALS], logger: loggerOf(log) },
    async ({ err }) => {
      if (err) log.fatal({ err }, 'an error that nobody caught: stopping')
      // also in the middle of the start: what it has opened must be closed
      const service = await starting.catch(() => null)
      await service?.close()
    },
  )
  let stoppedAtMs: number | null = null
  const stop = () => {
    onStop()
    if (stoppedAtMs === null) close()
    stoppedAtMs ??= performance.now()
  }
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      const isInsisting =
        stoppedAtMs !== null && performance.now() - stoppedAtMs > REPEATED_SIGNAL_MS
      log.info({ signal }, isInsisting ? 'asked again: ending at once' : 'asked to stop')
      if (isInsisting) process.exit(1)
      stop()
    })
  }
  return stop
}

const loggerOf = (log: Logger) => ({
  error: (message?: unknown) => log.error({ err: message }, 'the stop did not go well'),
})

main().catch((error) => {
  process.stderr.write(`creditd: ${explain(error)}\n`)
  process.exit(1)
})
