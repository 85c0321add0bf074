import { connect, type Socket } from 'node:net'
import { createHistogram, type Histogram } from './histogram.js'
import { clearReply, emptyReply, type Reply, takeBytes } from './reply.js'
import { type Ask, createAsks, type Shape } from './requests.js'

export type LoadPlan = {
  readonly port: number
  readonly connections: number
  readonly durationMs: number
  /** Begins counting the rate only then: connections have found their rhythm. */
  readonly rampMs: number
  /** After this many the requests begin again with the first; null: each is new. */
  readonly cycle: number | null
  readonly shape: Omit<Shape, 'host'>
}

export type LoadResult = {
  /** All requests sent; each was answered. */
  readonly requests: number
  /** Operations per second between the ramp and the end of sending. */
  readonly rate: number
  /** Operations by the status each was answered with. */
  readonly statuses: Readonly<Record<string, number>>
  /** Charges that a 201 called new, and what they took. */
  readonly applied: number
  readonly appliedCredits: number
  readonly replayed: number
  readonly latencyUs: { readonly p50: number; readonly p95: number; readonly p99: number }
  /** Of this process. */
  readonly cpuUs: number
}

/** Answers that are still missing this long after the last request will not come. */
const DRAIN_TIMEOUT_MS = 15_000
const READ_BUFFER_BYTES = 256 * 1024

type Connection = {
  readonly socket: Socket
  readonly reply: Reply
  ask: Ask
  sentMs: number
}

type Load = {
  readonly plan: LoadPlan
  readonly askAt: (index: number) => Ask
  readonly histogram: Histogram
  readonly statuses: Map<number, number>
  readonly wantsBody: boolean
  onIdle: () => void
  onFault: (error: Error) => void
  isSending: boolean
  waiting: number
  sent: number
  answered: number
  applied: number
  appliedCredits: number
  replayed: number
}

/**
 * Closed loop over keep-alive connections, each with one request on its way: sends for
 * `durationMs`, then waits for every answer. Fails when an answer does not come or a connection
 * ends: what was acknowledged would not be known.
 */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  const cpuBefore = process.cpuUsage()
  const load = createLoad(plan)
  const fault = new Promise<never>((_resolve, reject) => {
    load.onFault = reject
  })
  const idle = new Promise<void>((resolve) => {
    load.onIdle = resolve
  })
  const connections = await Promise.race([openAll(load), fault])
  try {
    const rate = await Promise.race([send(load, connections), fault])
    await Promise.race([idle, fault, drainTimeout(load)])
    const { user, system } = process.cpuUsage(cpuBefore)
    return resultOf(load, rate, user + system)
  } finally {
    load.onFault = () => {}
    for (const { socket } of connections) socket.destroy()
  }
}

function createLoad(plan: LoadPlan): Load {
  return {
    plan,
    askAt: createAsks({ ...plan.shape, host: `127.0.0.1:${plan.port}` }),
    histogram: createHistogram(),
    statuses: new Map(),
    wantsBody: plan.shape.bulk > 1,
    onIdle: () => {},
    onFault: () => {},
    isSending: true,
    waiting: 0,
    sent: 0,
    answered: 0,
    applied: 0,
    appliedCredits: 0,
    replayed: 0,
  }
}

/** One buffer serves all: a reply is taken from it before the next read. */
async function openAll(load: Load): Promise<Connection[]> {
  const buffer = Buffer.allocUnsafe(READ_BUFFER_BYTES)
  return Promise.all(
    Array.from({ length: load.plan.connections }, () => openConnection(load, buffer)),
  )
}

function openConnection(load: Load, buffer: Buffer): Promise<Connection> {
  return new Promise((resolve) => {
    const callback = (size: number, bytes: Uint8Array): boolean => {
      receive(load, connection, Buffer.from(bytes.buffer, bytes.byteOffset, size))
      return true
    }
    const socket = connect({
      host: '127.0.0.1',
      port: load.plan.port,
      noDelay: true,
      onread: { buffer, callback },
    })
    const connection = { socket, reply: emptyReply(), ask: { text: '', amount: 0 }, sentMs: 0 }
    socket.once('connect', () => resolve(connection))
    socket.once('error', (error) => load.onFault(error))
    socket.once('end', () => load.onFault(new Error('the server closed a connection')))
  })
}

/** Sends until the time is over; gives the rate between the ramp and then. */
async function send(load: Load, connections: readonly Connection[]): Promise<number> {
  const { durationMs, rampMs } = load.plan
  for (const connection of connections) sendNext(load, connection)
  await delay(rampMs)
  const before = load.answered
  const beganMs = performance.now()
  await delay(durationMs)
  const answered = load.answered - before
  const seconds = (performance.now() - beganMs) / 1000
  load.isSending = false
  return (answered * load.plan.shape.bulk) / seconds
}

function sendNext(load: Load, connection: Connection): void {
  const { cycle } = load.plan
  connection.ask = load.askAt(cycle === null ? load.sent : load.sent % cycle)
  load.sent += 1
  load.waiting += 1
  connection.sentMs = performance.now()
  connection.socket.write(connection.ask.text, 'latin1')
}

function receive(load: Load, connection: Connection, bytes: Buffer): void {
  const { reply, ask } = connection
  try {
    if (!takeBytes(reply, bytes, load.wantsBody)) return
    load.histogram.record((performance.now() - connection.sentMs) * 1000)
    if (load.wantsBody) countBulk(load, reply)
    else count(load, reply, ask.amount)
  } catch (error) {
    load.onFault(error as Error)
    return
  }
  clearReply(reply)
  load.answered += 1
  load.waiting -= 1
  if (load.isSending) sendNext(load, connection)
  else if (load.waiting === 0) load.onIdle()
}

function count(load: Load, { status, isReplay }: Reply, amount: number): void {
  load.statuses.set(status, (load.statuses.get(status) ?? 0) + 1)
  if (status !== 201) return
  if (isReplay) load.replayed += 1
  else {
    load.applied += 1
    load.appliedCredits += amount
  }
}

type Outcome = {
  readonly status: number
  readonly amount?: number
  readonly replayed?: boolean
}

function countBulk(load: Load, reply: Reply): void {
  if (reply.status !== 200) throw new Error(`a bulk call was answered with ${reply.status}`)
  const { outcomes } = JSON.parse(reply.text) as { outcomes: readonly Outcome[] }
  for (const { status, amount = 0, replayed = false } of outcomes) {
    count(load, { ...reply, status, isReplay: replayed }, -amount)
  }
}

async function drainTimeout(load: Load): Promise<never> {
  await delay(DRAIN_TIMEOUT_MS)
  throw new Error(`${load.waiting} requests were not answered within ${DRAIN_TIMEOUT_MS} ms`)
}

const delay = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })

function resultOf(load: Load, rate: number, cpuUs: number): LoadResult {
  const { histogram } = load
  return {
    requests: load.sent,
    rate,
    statuses: Object.fromEntries([...load.statuses].map(([status, n]) => [String(status), n])),
    applied: load.applied,
    appliedCredits: load.appliedCredits,
    replayed: load.replayed,
    latencyUs: {
      p50: histogram.quantile(0.5),
      p95: histogram.quantile(0.95),
      p99: histogram.quantile(0.99),
    },
    cpuUs,
  }
}
