import { Cluster, Redis } from 'ioredis'
import { NO_TLS } from './reason.js'
import type { RedisTarget } from './urls.js'

export type RedisClient = Redis | Cluster

const CONNECT_TIMEOUT_MS = 1_000
/** A server that does not take leave is left all the same; a command does not end before. */
const DISCONNECT_TIMEOUT_MS = 100
/** Soon enough to be back within seconds, and no flood for a server that is starting. */
const RECONNECT_EVERY_MS = 300
const RECONNECT_FIRST_MS = 20
const SLOTS_REFRESH_TIMEOUT_MS = 1_000
const MAX_REDIRECTIONS = 3

export type ConnectionEvents = {
  /** The connection is gone, or could not be made. */
  readonly onDown: (error: Error) => void
}

/**
 * A client that never queues: without a connection a command fails at once, and one that was under
 * way when the connection was lost fails too and is not sent again.
 */
export const connectRedis = (target: RedisTarget, { onDown }: ConnectionEvents): RedisClient => {
  let lastError = new Error('the connection was closed')
  const onError = (error: Error) => {
    lastError = error
    onDown(error)
  }
  const client = target.isCluster ? connectCluster(target, onError) : connectSingle(target, onError)
  client.on('close', () => onDown(lastError))
  return client
}

type OnError = (error: Error) => void

const connectSingle = (target: RedisTarget, onError: OnError): Redis => {
  const [first] = target.hosts
  let isRefused = false
  const client = new Redis({
    ...optionsOf(target),
    ...first,
    db: target.database,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // one that gets as far as being refused is there, and would be asked without a pause
    retryStrategy: (attempt) => (isRefused ? RECONNECT_EVERY_MS : reconnectAfterMs(attempt)),
    // what was a primary may be none any more, while its name leads to the new one
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
  const hasReached = watchReach(client)
  client.on('connecting', () => {
    isRefused = false
  })
  // without a listener, every attempt would be printed
  client.on('error', (error: Error) => {
    if (isOfSelect(error)) {
      isRefused = true
      // before it counts as ready: what is sent on it would go to the first database
      client.disconnect(true)
    }
    const isMute = target.isEncrypted && hasReached() && /ETIMEDOUT/.test(error.message)
    onError(isMute ? new Error(NO_TLS, { cause: error }) : error)
  })
  return client
}

/** The first command of a connection that is to use another database than the first. */
const isOfSelect = (error: Error & { command?: { name?: string } }): boolean =>
  error.command?.name === 'select'

/** Tells whether the host has taken the newest connection, whatever has come of it since. */
const watchReach = (client: Redis): (() => boolean) => {
  let hasReached = false
  const watch = () => {
    hasReached = false
    // the socket is made after the event
    setImmediate(() => {
      const { stream } = client
      if (stream === undefined || stream.destroyed) return
      const note = () => {
        hasReached = true
      }
      if ('connecting' in stream && stream.connecting) stream.once('connect', note)
      else note()
    })
  }
  client.on('connecting', watch)
  watch()
  return () => hasReached
}

const connectCluster = (target: RedisTarget, onError: OnError): Cluster => {
  const client = new Cluster([...target.hosts], {
    redisOptions: optionsOf(target),
    enableOfflineQueue: false,
    enableReadyCheck: true,
    clusterRetryStrategy: reconnectAfterMs,
    slotsRefreshTimeout: SLOTS_REFRESH_TIMEOUT_MS,
    maxRedirections: MAX_REDIRECTIONS,
    // whoever asks is answered from elsewhere sooner than a node comes back
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    // certificates name hosts, and nodes may tell addresses
    ...(target.isEncrypted && { dnsLookup: (address, callback) => callback(null, address) }),
  })
  client.on('error', onError)
  return client
}

/** A server that closes what has been idle for long is there again at once. */
const reconnectAfterMs = (attempt: number): number =>
  attempt === 1 ? RECONNECT_FIRST_MS : RECONNECT_EVERY_MS

const optionsOf = ({ username, password, isEncrypted }: RedisTarget) => ({
  ...(username !== null && { username }),
  ...(password !== null && { password }),
  ...(isEncrypted && { tls: {} }),
  protocol: 2 as const,
  disableClientInfo: true,
  // the probe finds out more than INFO does
  enableReadyCheck: false,
  maxRetriesPerRequest: 0,
  connectTimeout: CONNECT_TIMEOUT_MS,
  disconnectTimeout: DISCONNECT_TIMEOUT_MS,
})

/** The clients of all servers that hold keys. */
export const mastersOf = (client: RedisClient): readonly Redis[] =>
  client instanceof Cluster ? client.nodes('master') : [client]
