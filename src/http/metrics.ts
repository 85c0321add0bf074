import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { createLimitObserver, type NoteLimit } from './limit-metrics.js'
import { type App, contract, textReply } from './route.js'
import { LATENCY_BUCKETS_SECONDS, observeTraffic } from './traffic.js'

const BATCH_BUCKETS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]

/** Whoever asks for the metrics does not wait longer for a figure that comes from elsewhere. */
const READ_TIMEOUT_MS = 1_000

/** One of the figures of a name, by what tells them apart. */
export type Labelled = {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Of several figures each has all of the labels that the collector names. */
type Reading = number | readonly Labelled[]

/**
 * A figure that is read when somebody asks for the metrics. One that can not be read in time is
 * left out.
 */
export type Collector = { readonly name: string; readonly help: string } & (
  | { readonly kind: 'counter'; readonly read: () => number }
  | {
      readonly kind?: 'gauge'
      readonly labels?: readonly string[]
      readonly read: () => Reading | Promise<Reading>
    }
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
  /** Notes what a rate limit decided. */
  readonly noteLimit: NoteLimit
  /** Observes every request of the app by method, route and status. */
  observe(app: App): void
  /** What a gauge or a counter says now, one for each set of labels; empty when nothing. */
  valuesOf(name: string): Promise<readonly number[]>
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
    noteLimit: createLimitObserver(registry),
    observe: (app) => {
      observeRequests(app, registry)
      observeTraffic(app, registry, now)
    },
    async valuesOf(name) {
      const metric = await registry.getSingleMetric(name)?.get()
      return metric?.values.map(({ value }) => value).filter(Number.isFinite) ?? []
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
      labelNames: collector.labels ?? [],
      async collect() {
        const reading = await inTime(collector.read)
        this.reset()
        if (typeof reading === 'number') this.set(reading)
        else if (reading !== null) for (const one of reading) this.set(one.labels, one.value)
        // a reset one without labels is 0, which nobody has read
        else if (collector.labels === undefined) this.remove()
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

async function inTime(read: () => Reading | Promise<Reading>): Promise<Reading | null> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), READ_TIMEOUT_MS)
  })
  const reading = Promise.resolve()
    .then(read)
    .catch(() => null)
  const value = await Promise.race([reading, timeout])
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

/** The route a scraper reads. */
export function metricsRoute(app: App, metrics: Metrics): void {
  app.get('/metrics', getMetrics, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.render()),
  )
}

const getMetrics = contract({
  config: { access: 'credits:read', limit: null },
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
