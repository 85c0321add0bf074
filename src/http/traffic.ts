import { Gauge, type Registry } from 'prom-client'
import type { App } from './route.js'

/** From a cached read to a request that waited for its deadline. */
export const LATENCY_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]
const MINUTE_MS = 60_000
/** The success rate of ledger writes looks back this far. */
const WRITES_MINUTES = 60
/** The speed and the errors of the API look back this far. */
const API_MINUTES = 5
/** The response time that this share of the calls kept to. */
const QUANTILE = 0.95

/**
 * How the calls of the last minutes went, as figures that an alert can be put on as they are.
 * `now` is in ms.
 */
export function observeTraffic(app: App, registry: Registry, now: () => number): void {
  const writes = createWindow(WRITES_MINUTES, now)
  const api = createWindow(API_MINUTES, now)
  app.addHook('onResponse', (request, reply, done) => {
    // a write that is refused while writes are stopped on purpose is an answer like other refusals
    const isFailed = reply.statusCode >= 500 && request.failure?.code !== 'maintenance'
    const seconds = reply.elapsedTime / 1000
    if (request.routeOptions.config.audit?.record === 'ledger') writes.add(isFailed, seconds)
    const isStream = /event-stream/.test(String(reply.getHeader('content-type')))
    // how long a caller takes to send says nothing of how quick we are
    const isOurs = !isStream && request.failure?.code !== 'request_timeout'
    if (request.routeOptions.url?.startsWith('/v1/') && isOurs) api.add(isFailed, seconds)
    done()
  })
  addGauge(registry, {
    name: 'transaction_success_rate',
    help: 'Share of ledger writes of the last hour that were answered; 1 when idle',
    read: () => 1 - failedShareOf(writes.sum()),
  })
  addGauge(registry, {
    name: 'transaction_failure_rate',
    help: 'Share of ledger writes of the last hour that failed here (5xx); 0 when idle',
    read: () => failedShareOf(writes.sum()),
  })
  addGauge(registry, {
    name: 'api_error_rate',
    help: 'Share of API calls of the last five minutes that failed here (5xx); 0 when idle',
    read: () => failedShareOf(api.sum()),
  })
  addGauge(registry, {
    name: 'api_response_time',
    help: 'Seconds that 95 % of the API calls of the last five minutes kept to; 0 when idle',
    read: () => quantileOf(api.sum()),
  })
}

function addGauge(
  registry: Registry,
  { name, help, read }: { name: string; help: string; read: () => number },
): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}

type Slot = {
  readonly minute: number
  readonly all: number
  readonly failed: number
  /** How many calls took as long as each bucket allows and no less; the last: longer than all. */
  readonly buckets: readonly number[]
}

const EMPTY: Slot = {
  minute: 0,
  all: 0,
  failed: 0,
  buckets: LATENCY_BUCKETS_SECONDS.map(() => 0).concat(0),
}

/** Counts of the last minutes, the one under way included. */
function createWindow(minutes: number, now: () => number) {
  type Counts = { minute: number; all: number; failed: number; buckets: number[] }
  const slots: Counts[] = []
  const minuteNow = () => Math.floor(now() / MINUTE_MS)
  return {
    add(isFailed: boolean, seconds: number): void {
      const minute = minuteNow()
      let slot = slots.at(-1)
      if (slot?.minute !== minute) {
        slot = { minute, all: 0, failed: 0, buckets: [...EMPTY.buckets] }
        slots.push(slot)
        if (slots.length > minutes) slots.shift()
      }
      slot.all += 1
      if (isFailed) slot.failed += 1
      const found = LATENCY_BUCKETS_SECONDS.findIndex((bound) => seconds <= bound)
      const bucket = found === -1 ? LATENCY_BUCKETS_SECONDS.length : found
      slot.buckets[bucket] = (slot.buckets[bucket] ?? 0) + 1
    },
    sum: (): Slot =>
      slots.filter(({ minute }) => minute > minuteNow() - minutes).reduce<Slot>(plus, EMPTY),
  }
}

const plus = (a: Slot, b: Slot): Slot => ({
  minute: b.minute,
  all: a.all + b.all,
  failed: a.failed + b.failed,
  buckets: a.buckets.map((count, index) => count + (b.buckets[index] ?? 0)),
})

const failedShareOf = ({ all, failed }: Slot): number => (all === 0 ? 0 : failed / all)

/** As Prometheus works it out of a histogram: evenly spread within a bucket. */
function quantileOf({ all, buckets }: Slot): number {
  let left = all * QUANTILE
  let from = 0
  for (const [index, to] of LATENCY_BUCKETS_SECONDS.entries()) {
    const count = buckets[index] ?? 0
    if (count > 0 && count >= left) return from + ((to - from) * left) / count
    left -= count
    from = to
  }
  return all === 0 ? 0 : from
}
