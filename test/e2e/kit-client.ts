import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ERRORS } from '../../src/errors.js'
import { type ApiDocument, type ContractCheck, createContractCheck } from '../helpers/contract.js'
import type { ServiceProcess } from '../helpers/server.js'

export type Reply = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they expect to be there
  readonly body: any
  readonly ms: number
}

export type CallOptions = {
  /** Another credential than the operator's; null: none. */
  readonly key?: string | null
  readonly idempotencyKey?: string
  readonly headers?: Readonly<Record<string, string>>
  /** After this the client gives up, as one that has lost patience does. */
  readonly timeoutMs?: number
  /** Which service, by its place; else they take turns. */
  readonly through?: number
}

export type Client = {
  /**
   * One request. Throws when no whole reply came; throws ContractFault for a reply that the
   * OpenAPI document does not allow. A text is sent as it is.
   */
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Reply>
  /** Closes its connections. */
  close(): void
}

/** No test waits longer for a reply. */
export const PATIENCE_MS = 30_000
const MAX_SOCKETS = 512

/** A reply that is not documented; never taken for an unknown outcome. */
export class ContractFault extends Error {
  override readonly name = 'ContractFault'
}

/** A client of services that may come and go; `urls` tells where they are now. */
export const createClient = (
  urls: () => readonly string[],
  key: string,
  checkReply: ContractCheck,
): Client => {
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS })
  let turn = 0
  const call: Client['call'] = async (method, path, body, options = {}) => {
    const all = urls()
    const url = all[(options.through ?? turn++) % all.length]
    if (url === undefined) throw new Error('there is no service')
    const authorization = options.key === undefined ? key : options.key
    const headers = {
      ...(authorization !== null && { authorization: `Bearer ${authorization}` }),
      ...(options.idempotencyKey !== undefined && { 'idempotency-key': options.idempotencyKey }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...options.headers,
    }
    const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const timeoutMs = options.timeoutMs ?? PATIENCE_MS
    const reply = await exchange({ agent, url, method, path, headers, text, timeoutMs })
    const fault = checkReply(method, path, {
      status: reply.status,
      contentType: reply.headers['content-type'] ?? '',
      body: reply.body,
    })
    const isReport = path === '/health/ready'
    const problem = fault ?? (isReport ? null : problemFault(reply))
    if (problem !== null) {
      const shown = JSON.stringify(reply.body).slice(0, 2_000)
      throw new ContractFault(`${method} ${path}: ${problem}: ${reply.status} ${shown}`)
    }
    return reply
  }
  return { call, close: () => agent.destroy() }
}

/** The check by the document that the service itself gives out. */
export const contractOf = async (service: ServiceProcess): Promise<ContractCheck> => {
  const reply = await fetch(`${service.url}/openapi.json`)
  if (reply.status !== 200) throw new Error(`no OpenAPI document: ${reply.status}`)
  return createContractCheck((await reply.json()) as ApiDocument)
}

/** What every failure must be, beyond what the document says: one of the known codes. */
const problemFault = ({ status, headers, body }: Reply): string | null => {
  if (status < 400) return null
  if (!headers['content-type']?.startsWith('application/problem+json')) return 'no problem document'
  const known = Object.entries(ERRORS).find(([code]) => code === body.code)
  if (known?.[1][0] !== status) return `the code ${body.code} does not go with the status`
  if (status === 503 && !/^\d+$/.test(headers['retry-after'] ?? '')) return 'no Retry-After'
  return null
}

type Exchange = {
  readonly agent: Agent
  readonly url: string
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly text: string | undefined
  readonly timeoutMs: number
}

const exchange = (of: Exchange): Promise<Reply> => {
  const { agent, method, headers, text, timeoutMs } = of
  const startMs = performance.now()
  return new Promise((resolve, reject) => {
    const outgoing = request(`${of.url}${of.path}`, { agent, method, headers }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.once('error', fail)
      incoming.once('end', () => {
        clearTimeout(timer)
        if (!incoming.complete) return fail(new Error('the reply was cut off'))
        const whole = Buffer.concat(chunks).toString()
        const isJson = /json/.test(incoming.headers['content-type'] ?? '')
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: isJson && whole !== '' ? JSON.parse(whole) : whole,
          ms: performance.now() - startMs,
        })
      })
    })
    const timer = setTimeout(() => {
      outgoing.destroy(new Error(`no reply within ${timeoutMs} ms`))
    }, timeoutMs)
    const fail = (error: Error) => {
      clearTimeout(timer)
      reject(error)
    }
    outgoing.once('error', fail)
    outgoing.end(text)
  })
}

/** Asks again and again until it is so; fails when it takes longer. */
export const eventually = async (
  what: string,
  isSo: () => Promise<boolean> | boolean,
  withinMs: number,
): Promise<number> => {
  const startMs = performance.now()
  for (;;) {
    if (await isSo()) return performance.now() - startMs
    if (performance.now() - startMs > withinMs) {
      throw new Error(`not within ${withinMs} ms: ${what}`)
    }
    await sleep(25)
  }
}

/** All at once; each may fail on its own. */
export const atOnce = <T>(count: number, act: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => act(index)))

/** How many replies have each status: `{ 201: 50, 402: 50 }`. */
export const tally = (replies: readonly Reply[]): Record<number, number> => {
  const counts: Record<number, number> = {}
  for (const { status } of replies) counts[status] = (counts[status] ?? 0) + 1
  return counts
}
