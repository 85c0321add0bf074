import pg from 'pg'
import { AppError } from '../errors.js'
import type { EndpointRing } from './client.js'
import { isConnectionLost, READ_ONLY_STATE, sqlStateOf } from './errors.js'

/** More callers than this would wait longer than the pool's time-out anyway. */
const MAX_WAITING = 1_000

type Connected = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  release: (error?: Error | boolean) => void,
) => void

/**
 * A pool that goes through the hosts when one can not be used, and that answers `overloaded`
 * instead of waiting without end when all connections are taken.
 */
export class GuardedPool extends pg.Pool {
  readonly #ring: EndpointRing

  constructor(config: pg.PoolConfig, ring: EndpointRing) {
    super(config)
    this.#ring = ring
  }

  override connect(): Promise<pg.PoolClient>
  override connect(callback: Connected): void
  override connect(callback?: Connected): Promise<pg.PoolClient> | undefined {
    if (callback) {
      this.#attempt(this.#ring.size - 1, callback)
      return undefined
    }
    return new Promise((resolve, reject) => {
      this.#attempt(this.#ring.size - 1, (error, client) => {
        if (client) resolve(client)
        else reject(error)
      })
    })
  }

  #attempt(attemptsLeft: number, callback: Connected): void {
    if (this.waitingCount >= MAX_WAITING) {
      callback(exhausted(), undefined, () => {})
      return
    }
    super.connect((error, client, release) => {
      if (!error) return callback(undefined, client, release)
      if (error.message === 'timeout exceeded when trying to connect') {
        return callback(exhausted(error), client, release)
      }
      if (attemptsLeft > 0 && isWorthAnotherHost(error)) {
        return this.#attempt(attemptsLeft - 1, callback)
      }
      callback(error, client, release)
    })
  }
}

const isWorthAnotherHost = (error: unknown): boolean =>
  isConnectionLost(error) ||
  sqlStateOf(error) === READ_ONLY_STATE ||
  (error instanceof Error && /SSL|TLS/.test(error.message))

const exhausted = (cause?: Error) =>
  new AppError('overloaded', 'No database connection became free in time; try again', {}, cause)
