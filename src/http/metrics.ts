import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { type App, contract, textReply } from './route.js'

/** From a cached read to a request that waited for its deadline. */
const LATENCY_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]
const BATCH_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
/** The success rate looks back this far, in slots of one minute. */
const RATE_MINUTES = 60
const MINUTE_MS = 60_000

/** Whoever asks for the metrics does not wait longer for a figure that comes from elsewhere. */
const READ_TIMEOUT_MS = 1_000

/**
 * A figure that is read when somebody asks for the metrics. One that can not be read in time is
 * left out.
 */
export type Collector = { readonly name: string; readonly help: string } & (
  | { readonly kind: 'counter'; readonly read: () => number }
  | { readonly kind?: 'gauge'; readonly read: () => number | Promise<number> }
)

export type BatchFigures = {
  readonly operations: number
  readonly durationMs: number
  readonly refusedAccounts: number
}

export type Metrics = {
  /** Adds figures of a part that knows no metrics itself. */
  collect(collectors: readonly Collector[]): void
  /** Notes one batch of the ledger. */
  noteBatch(batch: BatchFigures): void
  /** Observes every request of the app by method, route and status. */
  observe(app: App): void
  /** The Prometheus text of everything. */
  render(): Promise<string>
  readonly contentType: string
}

/** The figures of one process. `now` is in ms. */
export function createMetrics({ now }: { readonly now: () => number }): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return {
    collect: (collectors) => {
      for (const collector of collectors) addCollector(registry, collector)
    },
    noteBatch: createBatchObserver(registry),
    observe: (app) => {
      observeRequests(app, registry)
      observeSuccess(app, registry, now)
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

function addCollector(registry: Registry, collector: Collector): void {
  const { name, help } = collector
  const figure = { name, help, registers: [registry] }
  if (collector.kind !== 'counter') {
    new Gauge({
      ...figure,
      async collect() {
        const value = await inTime(collector.read())
        if (value === null) this.remove()
        else this.set(value)
      },
    })
    return
  }
  let last = 0
  new Counter({
    ...figure,
    // a count kept elsewhere: only its growth since the last reading is added
    collect() {
      const count = collector.read()
      if (count > last) this.inc(count - last)
      last = count
    },
  })
}

async function inTime(reading: number | Promise<number>): Promise<number | null> {
  if (typeof reading === 'number') return reading
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), READ_TIMEOUT_MS)
  })
  const value = await Promise.race([reading.catch(() => null), timeout])
  clearTimeout(timer)
  return value
}

function createBatchObserver(registry: Registry): Metrics['noteBatch'] {
  const sizes = new Histogram({
    name: 'ledger_batch_operations',
    help: 'Operations in one batch of the ledger',
    buckets: BATCH_BUCKETS,
    registers: [registry],
  })
  const durations = new Histogram({
    name: 'ledger_commit_duration_seconds',
    help: 'Time from sending a batch to its durable commit',
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [registry],
  })
  const refused = new Counter({
    name: 'ledger_refused_accounts_total',
    help: 'Accounts of batches that had moved meanwhile and were decided again',
    registers: [registry],
  })
  return ({ operations, durationMs, refusedAccounts }) => {
    sizes.observe(operations)
    durations.observe(durationMs / 1000)
    if (refusedAccounts > 0) refused.inc(refusedAccounts)
  }
}

function observeRequests(app: App, registry: Registry): void {
  const latency = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the request to the end of its reply',
    labelNames: ['method', 'route', 'status_code'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [registry],
  })
  const problems = new Counter({
    name: 'http_problems_total',
    help: 'Replies with a problem document, by its code',
    labelNames: ['route', 'code'],
    registers: [registry],
  })
  // labels are hashed at each lookup; routes and statuses are few
  const children = new Map<string, ReturnType<typeof latency.labels>>()
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unmatched'
    const name = `${request.method} ${route} ${reply.statusCode}`
    let child = children.get(name)
    if (child === undefined) {
      child = latency.labels(request.method, route, String(reply.statusCode))
      children.set(name, child)
    }
    child.observe(reply.elapsedTime / 1000)
    if (request.failure !== null) problems.inc({ route, code: request.failure.code })
    done()
  })
}

type Slot = { minute: number; done: number; failed: number }

/** A refusal is an answer; only what we failed to do (5xx) counts as failed. */
function observeSuccess(app: App, registry: Registry, now: () => number): void {
  const slots: Slot[] = []
  app.addHook('onResponse', (request, reply, done) => {
    const rule = request.routeOptions.config.audit
    if (rule?.record === 'ledger') {
      const minute = Math.floor(now() / MINUTE_MS)
      let slot = slots.at(-1)
      if (slot?.minute !== minute) {
        slot = { minute, done: 0, failed: 0 }
        slots.push(slot)
        if (slots.length > RATE_MINUTES) slots.shift()
      }
      if (reply.statusCode >= 500) slot.failed += 1
      else slot.done += 1
    }
    done()
  })
  new Gauge({
    name: 'transaction_success_rate',
    help: 'Share of ledger writes of the last hour that were answered; 1 when idle',
    registers: [registry],
    collect() {
      const since = Math.floor(now() / MINUTE_MS) - RATE_MINUTES
      const recent = slots.filter(({ minute }) => minute > since)
      const failed = recent.reduce((sum, slot) => sum + slot.failed, 0)
      const all = recent.reduce((sum, slot) => sum + slot.done + slot.failed, 0)
      this.set(all === 0 ? 1 : (all - failed) / all)
    },
  })
}

/** The route a scraper reads. */
export function metricsRoute(app: App, metrics: Metrics): void {
  app.get('/metrics', getMetrics, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.render()),
  )
}

const getMetrics = contract({
  config: { access: 'credits:read' },
  schema: {
    operationId: 'getMetrics',
    tags: ['Operations'],
    summary: 'Metrics for Prometheus',
    description:
      'Request rates and latencies by route, batches and commit times of the ledger, the ' +
      'connection pool, and the process itself, in the text format of Prometheus.',
    response: { 200: textReply('text/plain', 'The metrics') },
  },
})
