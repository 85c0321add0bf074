import { Cluster, Redis } from 'ioredis'
import type { RedisTarget } from './urls.js'

export type RedisClient = Redis | Cluster

const CONNECT_TIMEOUT_MS = 1_000
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
  const client = target.isCluster ? connectCluster(target) : connectSingle(target)
  let lastError = new Error('the connection was closed')
  // without a listener, every attempt would be printed
  client.on('error', (error: Error) => {
    lastError = error
    onDown(error)
  })
  client.on('close', () => onDown(lastError))
  return client
}

const connectSingle = (target: RedisTarget): Redis => {
  const [first] = target.hosts
  return new Redis({
    ...optionsOf(target),
    ...first,
    db: target.database,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: reconnectAfterMs,
    // what was a primary may be none any more, while its name leads to the new one
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  })
}

const connectCluster = (target: RedisTarget): Cluster =>
  new Cluster([...target.hosts], {
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
})

/** The clients of all servers that hold keys. */
export const mastersOf = (client: RedisClient): readonly Redis[] =>
  client instanceof Cluster ? client.nodes('master') : [client]
