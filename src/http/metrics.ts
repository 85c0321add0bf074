import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { App } from './route.js'

/** From a cached read to a request that waited for its deadline. */
const LATENCY_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** A figure that is read when somebody asks for the metrics. */
export type Collector = {
  readonly name: string
  readonly help: string
  readonly kind?: 'gauge' | 'counter'
  readonly read: () => number
}

export type Metrics = {
  readonly registry: Registry
  /** The Prometheus text of everything. */
  render(): Promise<string>
  readonly contentType: string
  /** Observes every request of the app by method, route and status. */
  observe(app: App): void
}

/** The figures of one process. `collectors` are those of the parts that know no metrics. */
export function createMetrics(collectors: readonly Collector[]): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { name, help, kind, read } of collectors) {
    if (kind === 'counter') addCounter(registry, name, help, read)
    else {
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(read())
        },
      })
    }
  }
  return {
    registry,
    render: () => registry.metrics(),
    contentType: registry.contentType,
    observe: (app) => observe(app, registry),
  }
}

/** A count kept elsewhere: only its growth since the last reading is added. */
function addCounter(registry: Registry, name: string, help: string, read: () => number): void {
  let last = 0
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      const count = read()
      if (count > last) this.inc(count - last)
      last = count
    },
  })
}

function observe(app: App, registry: Registry): void {
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
  app.get(
    '/metrics',
    {
      config: { access: 'credits:read' },
      schema: {
        operationId: 'getMetrics',
        tags: ['Operations'],
        summary: 'Metrics for Prometheus',
        description:
          'Request rates and latencies by route, the work in hand of the ledger, the connection ' +
          'pool, and the process itself, in the text format of Prometheus.',
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.render()),
  )
}
