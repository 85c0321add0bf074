import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { Webhook } from 'standardwebhooks'
import type { OutboxEvent } from '../../src/ledger/outbox.js'
import { enqueueEvents } from '../../src/ledger/outbox.js'
import { type AppSetup, openApp, type Reply, type TestApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'

export const DAY_MS = 24 * 3_600_000
export const HOUR_MS = 3_600_000
export const MINUTE_MS = 60_000
const DEADLINE_MS = 60_000

/** Receivers of the tests are on this machine. */
const NEAR = { WEBHOOKS_ALLOW_PRIVATE: 'true' }

export type EventApp = TestApp & {
  readonly clock: { aheadMs: number }
  /** Places what is committed, and sends what is due. */
  deliver(): Promise<void>
  /** Everything in the feed after a position, page by page. */
  feed(query?: string, after?: number | null): Promise<readonly FeedEvent[]>
  /** Makes an endpoint; it with its secret. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they expect to be there
  endpoint(body: object): Promise<any>
}

export type FeedEvent = {
  readonly id: string
  readonly position: number
  readonly accountId: string
  readonly accountSeq: number
  readonly type: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they expect to be there
  readonly data: any
  readonly createdAt: string
}

/** The service with a clock to move, with its jobs at hand, and with receivers on this machine. */
export const openEvents = async (t: TestContext, setup: AppSetup = {}): Promise<EventApp> => {
  const clock = setup.clock ?? { aheadMs: 0 }
  const environment = { ...NEAR, ...setup.environment }
  const service = await openApp(t, { ...setup, clock, environment })
  const { call, runJob } = service
  return {
    ...service,
    clock,
    async deliver() {
      await runJob('events.relay')
      await runJob('events.deliver')
    },
    async feed(query = '', after = null) {
      const events: FeedEvent[] = []
      let from = after === null ? '' : `&after=${after}`
      for (;;) {
        const { body } = expectStatus(200, await call('GET', `/v1/events?limit=200${from}${query}`))
        events.push(...body.events)
        if (!body.hasMore) return events
        from = `&after=${body.nextCursor}`
      }
    },
    async endpoint(body) {
      return expectStatus(201, await call('POST', '/v1/webhook-endpoints', body)).body
    },
  }
}

export const expectStatus = (status: number, reply: Reply): Reply => {
  if (reply.status !== status) {
    throw new Error(`${reply.status} and not ${status}: ${JSON.stringify(reply.body)}`)
  }
  return reply
}

/** Puts events into the outbox as a feature does. */
export const enqueue = async ({ core }: TestApp, ...events: readonly Partial<OutboxEvent>[]) => {
  const nowMs = Math.floor(core.now())
  const rows = events.map((event, index) => ({
    accountId: 'ada',
    id: `test:${index}`,
    type: 'purchase.completed',
    data: {},
    createdAtMs: nowMs,
    ...event,
  }))
  await enqueueEvents(core.db.orm, rows)
}

/** `count` events of one account, the n-th with `{n}` as its data. */
export const enqueueMany = (app: TestApp, count: number, begin = 1, accountId = 'ada') =>
  enqueue(
    app,
    ...Array.from({ length: count }, (_, index) => ({
      accountId,
      id: `${begin + index}:test`,
      data: { n: begin + index },
    })),
  )

export type Received = {
  readonly headers: IncomingHttpHeaders
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they expect to be there
  readonly body: any
}

export type Answer = {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: string
}

export type Receiver = {
  readonly url: string
  /** What it was sent, whatever it answered, in the order of arrival. */
  readonly received: Received[]
  /** Connections that were made to it. */
  connections(): number
  /** What it answers from now on; `hang`: nothing at all. */
  answer(with_: Answer | 'hang'): void
  waitFor(count: number): Promise<void>
}

/** A receiver as somebody else would have one. */
export const openReceiver = async (t: TestContext): Promise<Receiver> => {
  let answer: Answer | 'hang' = { status: 204 }
  let connections = 0
  const received: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      received.push({ headers: request.headers, text, body: JSON.parse(text) })
      if (answer === 'hang') return
      response.writeHead(answer.status, answer.headers).end(answer.body)
    })
  })
  server.on('connection', () => {
    connections += 1
  })
  const port = await listen(server)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${port}/hooks`,
    received,
    connections: () => connections,
    answer(with_) {
      answer = with_
    },
    async waitFor(count) {
      const endMs = performance.now() + DEADLINE_MS
      while (received.length < count) {
        if (performance.now() > endMs) throw new Error(`${received.length} of ${count} have come`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
  }
}

const listen = (server: Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : 0)
    })
  })

/** Whether a receiver with this secret would believe it, as the package for receivers has it. */
export const isSigned = (secret: string, { headers, text }: Received): boolean => {
  try {
    new Webhook(secret).verify(text, headers as Record<string, string>)
    return true
  } catch {
    return false
  }
}
