import { type Breaker, createBreaker } from './breaker.js'
import type { Budgets } from './budget.js'
import { connectRedis, type RedisClient } from './connection.js'
import { DeadlineError, withinDeadline } from './deadline.js'
import type { Patience } from './patience.js'
import { probe } from './probe.js'
import { isAboutOneCall, NOT_YET } from './reason.js'
import { createRecent } from './recent.js'
import type { Script } from './script.js'
import type { RedisTarget } from './urls.js'

/** Redis is of no use for now: answer from elsewhere. */
export class RedisAwayError extends Error {
  constructor(cause?: unknown) {
    super('Redis is away', { cause })
    this.name = 'RedisAwayError'
  }
}

export type LinkFigures = {
  readonly commands: number
  readonly errors: number
  readonly openings: number
  /** Of the last minutes, 0 to 1. */
  readonly errorRate: number
  /** Of the commands that were answered, the newest counting most; null before the first. */
  readonly latencyMs: number | null
}

/** One Redis, as far as requests may rely on it. */
export type Link = {
  readonly target: Pick<RedisTarget, 'variable'>
  isUp(): boolean
  /** Why it is away; null while it is up. */
  trouble(): Error | null
  /** For requests: throws RedisAwayError; at once while it is away, else within the time limit. */
  run<T>(act: (client: RedisClient) => Promise<T>, commands?: number): Promise<T>
  /** Beside requests, also while it is away; throws what went wrong. */
  attempt<T>(act: (client: RedisClient) => Promise<T>, timeoutMs: number): Promise<T>
  /** Called whenever it has gone or returned. */
  onChange(listener: (isUp: boolean) => void): void
  figures(): LinkFigures
  close(): void
}

export type LinkDeps = {
  readonly target: RedisTarget
  readonly keyPrefix: string
  /** Known to the server before anybody needs them. */
  readonly scripts: readonly Script[]
  readonly patience: Patience
  readonly budgets: Budgets
  readonly monotonicMs: () => number
}

const PROBE_EVERY_MS = 500
/** A probe that hangs so long hangs in a connection that nobody will ever answer. */
const STALE_PROBE_MS = 2_000
const LATENCY_WEIGHT = 0.1
/** With less than this, a request need not ask any more. */
const LEAST_MS = 1

type State = {
  commands: number
  errors: number
  latencyMs: number | null
  trouble: Error | null
  answeredAtMs: number
}

/** Opens the connection; it counts as away until the first probe has gone well. */
export const openLink = (deps: LinkDeps): Link => {
  const { target, patience, budgets, monotonicMs } = deps
  const listeners: ((isUp: boolean) => void)[] = []
  const tell = (isUp: boolean) => {
    for (const listener of listeners) listener(isUp)
  }
  const state: State = {
    commands: 0,
    errors: 0,
    latencyMs: null,
    trouble: null,
    answeredAtMs: -Infinity,
  }
  const recent = createRecent(monotonicMs)
  const breaker = createBreaker({
    monotonicMs,
    onOpen: () => tell(false),
    onClose() {
      state.trouble = null
      tell(true)
    },
  })
  const fail = (error: Error): void => {
    state.trouble = moreTelling(state.trouble, error)
    breaker.trip(error)
  }
  const noteFault = (error: unknown): void => {
    state.errors += 1
    recent.note(0, 1)
    if (error instanceof DeadlineError) patience.noteTimeout()
    if (error instanceof Error && !isAboutOneCall(error)) fail(error)
  }
  const client = connectRedis(target, { onDown: fail })
  const prober = startProber(deps, client, breaker, fail)
  return {
    target,
    isUp: () => !breaker.isOpen(),
    trouble: () => (breaker.isOpen() ? (state.trouble ?? new Error(NOT_YET)) : null),
    async run(act, commands = 1) {
      const leftMs = budgets.current()?.leftMs() ?? Infinity
      if (breaker.isOpen() || leftMs < LEAST_MS) throw new RedisAwayError()
      const endWait = budgets.current()?.begin()
      const startedMs = monotonicMs()
      const limitMs = patience.timeoutMs()
      state.commands += commands
      recent.note(commands, 0)
      try {
        const result = await withinDeadline(act(client), Math.min(limitMs, leftMs), () => {
          // in a crowd the last one waits for all the others: what answers them is not dead
          const longestMs = Math.min(2 * limitMs, leftMs)
          return Math.min(state.answeredAtMs + limitMs, startedMs + longestMs) - monotonicMs()
        })
        state.answeredAtMs = monotonicMs()
        noteLatency(state, state.answeredAtMs - startedMs)
        return result
      } catch (error) {
        // who had little time left can not tell whether it was late
        const isFault = !(error instanceof DeadlineError && monotonicMs() - startedMs < limitMs)
        if (isFault) noteFault(error)
        throw new RedisAwayError(error)
      } finally {
        endWait?.()
      }
    },
    attempt: (act, timeoutMs) => withinDeadline(act(client), timeoutMs),
    onChange: (listener) => void listeners.push(listener),
    figures: () => ({
      commands: state.commands,
      errors: state.errors,
      openings: breaker.openings(),
      errorRate: recent.errorRate(),
      latencyMs: state.latencyMs,
    }),
    close() {
      prober.stop()
      client.disconnect()
    },
  }
}

const noteLatency = (state: State, ms: number): void => {
  state.latencyMs =
    state.latencyMs === null ? ms : state.latencyMs + LATENCY_WEIGHT * (ms - state.latencyMs)
}

/** That there is no connection, or is none any more, tells less than why. */
const moreTelling = (before: Error | null, error: Error): Error => {
  const saysLittle =
    /enableOfflineQueue|onnection (is|was) closed|ECONNRESET|EPIPE|Command aborted/.test(
      error.message,
    )
  return saysLittle && before !== null ? before : error
}

/** Asks again and again while the breaker is open; never twice at once. */
const startProber = (
  { keyPrefix, scripts, patience, monotonicMs }: LinkDeps,
  client: RedisClient,
  breaker: Breaker,
  fail: (error: Error) => void,
) => {
  let sentAtMs: number | null = null
  const ask = async () => {
    if (!breaker.isOpen()) return
    if (sentAtMs !== null) {
      if (monotonicMs() - sentAtMs > STALE_PROBE_MS) client.disconnect(true)
      return
    }
    sentAtMs = monotonicMs()
    const answer = probe(client, keyPrefix, scripts).finally(() => {
      sentAtMs = null
    })
    try {
      await withinDeadline(answer, patience.timeoutMs())
      breaker.noteProbe(true)
    } catch (error) {
      breaker.noteProbe(false)
      fail(error instanceof Error ? error : new Error(String(error)))
      // one that was good and late may have been waiting for the connection
      if (error instanceof DeadlineError) answer.then(ask, () => {})
    }
  }
  const timer = setInterval(() => void ask(), PROBE_EVERY_MS)
  timer.unref()
  // the first as soon as there is a connection
  client.on('ready', () => void ask())
  return { stop: () => clearInterval(timer) }
}
