import type { InjectOptions } from 'fastify'
import pino, { type Logger } from 'pino'
import { type Core, composeCore } from '../../src/compose.js'
import { composeApp } from '../../src/compose-app.js'
import { collectorsOf } from '../../src/compose-metrics.js'
import { loadConfig } from '../../src/config.js'
import { createMetrics } from '../../src/http/metrics.js'
import type { App } from '../../src/http/route.js'
import type { Job } from '../../src/jobs/runner.js'
import { type ApiDocument, type ContractCheck, createContractCheck } from './contract.js'
import { freshDatabase, type TestContext } from './database.js'

/** The operator's key of every app under test. */
export const ADMIN_KEY = 'operator-key-of-the-tests-0123456789'

export type Reply = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they expect to be there
  readonly body: any
}

export type Call = {
  /** Another credential than the operator's; null: none. */
  readonly key?: string | null
  readonly idempotencyKey?: string
  readonly headers?: Record<string, string>
}

export type TestApp = {
  readonly app: App
  readonly core: Core
  readonly url: string
  /** Sends a request; throws when the OpenAPI document does not allow the reply. */
  call(method: string, path: string, body?: unknown, call?: Call): Promise<Reply>
  /** Opens an account, with credits when asked. */
  open(accountId: string, credits?: number): Promise<void>
  /** Does the work of a job of the app now; gives what it says. */
  runJob(name: string, signal?: AbortSignal): Promise<string | undefined>
  close(): Promise<void>
}

export type AppSetup = {
  /** Another instance on this database; a fresh one without it. */
  readonly url?: string
  readonly environment?: Record<string, string>
  /** Where it logs; nowhere without it. */
  readonly log?: Logger
  /** Moves the clock of everything above the ledger, which goes by the database's. */
  readonly clock?: { aheadMs: number }
}

/** The whole service in this process, on a database of its own, without a port. */
export const openApp = async (t: TestContext, setup: AppSetup = {}): Promise<TestApp> => {
  const url = setup.url ?? (await freshDatabase(t)).url
  const config = loadConfig({
    DATABASE_URL: url,
    CREDITD_API_KEY: ADMIN_KEY,
    DATABASE_POOL_SIZE: '8',
    STRICT_REPLIES: 'true',
    ...setup.environment,
  })
  const log = setup.log ?? pino({ level: process.env.TEST_LOG ?? 'silent' })
  const metrics = createMetrics({ now: () => performance.now() })
  const { clock = { aheadMs: 0 } } = setup
  const below = await composeCore({ config, log, onLost: () => {}, onBatch: metrics.noteBatch })
  const jobs = new Map<string, Job>()
  const add = (job: Job) => {
    jobs.set(job.name, job)
    below.jobs.add(job)
  }
  const core = {
    ...below,
    now: () => below.now() + clock.aheadMs,
    jobs: { ...below.jobs, add },
  }
  metrics.collect(collectorsOf(core))
  const composed = await composeApp(core, { metrics, version: '0.0.0', isStopping: () => false })
  await composed.app.ready()
  const close = async () => {
    await composed.close()
    await core.close()
  }
  t.teardown(close)
  const call = caller(composed.app, contractOf(composed.app))
  const runJob: TestApp['runJob'] = async (name, signal = new AbortController().signal) => {
    const job = jobs.get(name)
    if (!job) throw new Error(`there is no job ${name}`)
    return job.run(signal)
  }
  return { app: composed.app, core, url, call, open: openWith(call), runJob, close }
}

/** Compiling the document's schemas takes a moment; all apps of a process have the same one. */
let contract: ContractCheck | undefined

const contractOf = (app: App): ContractCheck => {
  contract ??= createContractCheck(app.swagger() as unknown as ApiDocument)
  return contract
}

const caller =
  (app: App, faultOf: ContractCheck): TestApp['call'] =>
  async (method, path, body, { key = ADMIN_KEY, idempotencyKey, headers = {} } = {}) => {
    const reply = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url: path,
      headers: {
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && {
        payload: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    })
    const isJson = /json/.test(String(reply.headers['content-type']))
    const parsed = isJson && reply.body !== '' ? JSON.parse(reply.body) : reply.body
    const status = reply.statusCode
    const contentType = String(reply.headers['content-type'] ?? '')
    const fault = faultOf(method, path, { status, contentType, body: parsed })
    if (fault !== null) throw new Error(`${method} ${path}: ${fault}\n${reply.body}`)
    return { status, headers: reply.headers, body: parsed }
  }

const openWith =
  (call: TestApp['call']): TestApp['open'] =>
  async (accountId, credits = 0) => {
    const opened = await call('PUT', `/v1/accounts/${accountId}`)
    if (opened.status !== 201) throw new Error(`not opened: ${JSON.stringify(opened.body)}`)
    if (credits === 0) return
    const granted = await call('POST', `/v1/accounts/${accountId}/grants`, { amount: credits })
    if (granted.status !== 201) throw new Error(`not granted: ${JSON.stringify(granted.body)}`)
  }
