import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { retryAfterOf } from './pauses.js'
import { guardedLookup, PrivateAddressError, type Resolve } from './resolve.js'
import { addressIn, isPublicAddress } from './target.js'

/** Name, connection, request and reply together. */
const TIMEOUT_MS = 15_000
/** Nobody reads it; it is taken so that the receiver can end in peace. */
const MAX_REPLY_BYTES = 4_096

export type Message = {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What came of an attempt; `error` holds nothing of the URL. */
export type Attempt =
  | { readonly kind: 'delivered' }
  | {
      readonly kind: 'failed'
      /** What was answered; null: nothing. */
      readonly status: number | null
      readonly error: string
      readonly retryAfterMs: number | null
    }
  /** We were told to stop: it says nothing about the receiver. */
  | { readonly kind: 'stopped' }

/** Posts a message once. Never throws. */
export type Post = (url: string, message: Message, signal: AbortSignal) => Promise<Attempt>

export type PostDeps = {
  readonly resolve: Resolve
  /** Private networks, and http. */
  readonly allowPrivate: boolean
  /** Ms since the epoch. */
  readonly now: () => number
  readonly timeoutMs?: number
}

/**
 * Posts JSON, each time over a connection of its own whose address is looked at. Any 2xx is well;
 * redirects are not followed: they would lead past everything that was looked at.
 */
export const createPost = (deps: PostDeps): Post => {
  const { now, timeoutMs = TIMEOUT_MS } = deps
  return async (url, message, signal) => {
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      const reply = await exchange(deps, url, message, AbortSignal.any([signal, timeout]))
      return attemptOf(reply, now())
    } catch (error) {
      if (signal.aborted) return { kind: 'stopped' }
      const reason = timeout.aborted ? 'it did not answer in time' : reasonOf(error)
      return { kind: 'failed', status: null, error: reason, retryAfterMs: null }
    }
  }
}

type Reply = { readonly status: number; readonly retryAfter: string | undefined }

function exchange(
  { resolve, allowPrivate }: PostDeps,
  url: string,
  { headers, body }: Message,
  signal: AbortSignal,
): Promise<Reply> {
  const target = new URL(url)
  const address = addressIn(target)
  // of an address no look-up is made
  if (address !== null && !allowPrivate && !isPublicAddress(address)) {
    return Promise.reject(new PrivateAddressError('a private address'))
  }
  const isHttps = target.protocol === 'https:'
  if (!isHttps && !allowPrivate) return Promise.reject(new PrivateAddressError('not https'))
  const send = isHttps ? requestHttps : requestHttp
  return new Promise((resolveReply, reject) => {
    const request: ClientRequest = send(target, {
      method: 'POST',
      agent: false,
      lookup: guardedLookup(resolve, allowPrivate),
      signal,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        'user-agent': 'creditd',
        connection: 'close',
        ...headers,
      },
    })
    let isAnswered = false
    // a status counts, however the connection ends afterwards
    const fail = (error: Error) => (isAnswered ? undefined : reject(error))
    request.once('response', (reply) => {
      isAnswered = true
      endOf(reply, resolveReply)
    })
    request.on('error', fail)
    request.once('close', () => fail(new Error('the connection was closed')))
    request.end(body)
  })
}

/** The status counts, whatever becomes of the rest. */
function endOf(reply: IncomingMessage, settle: (reply: Reply) => void): void {
  const { statusCode: status = 0, headers } = reply
  let bytes = 0
  reply.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_REPLY_BYTES) reply.destroy()
  })
  reply.on('error', () => {})
  reply.once('close', () => settle({ status, retryAfter: headers['retry-after'] }))
}

function attemptOf({ status, retryAfter }: Reply, nowMs: number): Attempt {
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  const isPause = status === 429 || status === 503
  return {
    kind: 'failed',
    status,
    error:
      status >= 300 && status < 400
        ? `it answered ${status}, and redirects are not followed`
        : `it answered ${status}`,
    retryAfterMs: isPause ? retryAfterOf(retryAfter, nowMs) : null,
  }
}

/** The messages of the network can name the host; its codes do not. */
function reasonOf(error: unknown): string {
  if (error instanceof PrivateAddressError) return 'its address is in a private network'
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? `it can not be reached: ${code}` : 'it can not be reached'
}
