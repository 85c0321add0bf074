import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../errors.js'
import { sendProblem } from './error-handler.js'
import { type App, isWrite } from './route.js'

/** Whoever knows better why there is no answer, such as the ledger, is given the first word. */
const GRACE_MS = 250
/** A request may outlive its deadline by this. */
const CHECK_EVERY_MS = 100

/**
 * Answers every request that nobody has answered in time: what it waits for, a connection, a
 * statement, another call with its key, has limits of its own, and their sum may be longer. If the
 * wait was for the caller's body, that is what it is told, and it is no failure of ours. One
 * timer for all, since a timer for each costs more than the rest of the way through the framework.
 */
export function registerDeadline(app: App, timeoutMs: number): void {
  const open = new Map<FastifyReply, FastifyRequest>()
  let timer: NodeJS.Timeout | null = null

  /** In order of arrival, so the first one that has time left ends the look. */
  function check(): void {
    for (const [reply, request] of open) {
      if (reply.elapsedTime < timeoutMs + GRACE_MS) break
      open.delete(reply)
      cutShort(request, reply)
    }
    if (open.size > 0 || timer === null) return
    clearInterval(timer)
    timer = null
  }

  app.addHook('onRequest', (request, reply, done) => {
    open.set(reply, request)
    timer ??= setInterval(check, CHECK_EVERY_MS).unref()
    done()
  })
  app.addHook('onResponse', (_request, reply, done) => {
    open.delete(reply)
    done()
  })
}

function cutShort(request: FastifyRequest, reply: FastifyReply): void {
  if (reply.sent || reply.raw.headersSent || reply.raw.destroyed) return
  // to whoever reads the body it is like any body that breaks off: answered, and closed behind
  if (isArriving(request)) {
    request.raw.emit('error', unfinished())
    return
  }
  sendProblem(isWrite(request.method) ? unknown() : late(), request, reply)
  // what the handler comes to in the end is no answer any more
  reply.hijack()
}

/** Whether somebody reads the body and its end has not come; before that, the wait is ours. */
const isArriving = ({ raw }: FastifyRequest): boolean =>
  raw.readableFlowing === true && !raw.readableEnded && raw.listenerCount('error') > 0

const unfinished = (): AppError =>
  new AppError('request_timeout', 'The body did not arrive in time')

const unknown = (): AppError =>
  new AppError('outcome_unknown', 'It took too long to tell: ask again with the same key')

const late = (): AppError => new AppError('overloaded', 'It took too long; try again')
