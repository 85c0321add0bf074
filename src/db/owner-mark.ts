import { readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.js'
import { DatabaseSetupError } from './setup-error.js'

/**
 * Two containers on one volume do not see each other's processes: to the second one the first
 * one's pid file looks left behind, and two servers on one directory destroy it. So the owner
 * touches a file for as long as it lives.
 */
export type OwnerMark = {
  /** Ours no longer: the server is stopped. */
  remove(): void
  /** It is another's, whose mark looks like ours. */
  abandon(): void
}

export type MarkTimes = { readonly touchEveryMs: number; readonly staleAfterMs: number }

/** A new container waits this long at most after the old one was killed. */
export const MARK_TIMES: MarkTimes = { touchEveryMs: 2_000, staleAfterMs: 10_000 }

const POLL_MS = 250

/** Where processes see each other. */
const place = (): string => {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return hostname()
  }
}

const pathOf = (cluster: Cluster): string => join(cluster.directory, 'owner')

/** Marks the cluster as ours until `remove`, or until this process is gone. */
export const markOwner = (cluster: Cluster, times = MARK_TIMES): OwnerMark => {
  const path = pathOf(cluster)
  writeFileSync(path, `${place()}\n`)
  const timer = setInterval(() => {
    try {
      // written anew, so that the time is that of the volume
      writeFileSync(path, `${place()}\n`)
    } catch {
      // the directory is gone or full: the lock in the database still holds here
    }
  }, times.touchEveryMs)
  timer.unref()
  const abandon = () => clearInterval(timer)
  return {
    abandon,
    remove() {
      abandon()
      rmSync(path, { force: true })
    },
  }
}

/**
 * Waits until nobody elsewhere has touched the mark for a while. Throws DatabaseSetupError as soon
 * as it is touched: then its owner is alive, in another container.
 */
export const awaitNoOwnerElsewhere = async (
  cluster: Cluster,
  times = MARK_TIMES,
): Promise<void> => {
  const path = pathOf(cluster)
  if (readMark(path) === null || readMark(path) === place()) return
  const firstMs = touchedAt(path)
  const endMs = performance.now() + times.staleAfterMs
  while (performance.now() < endMs) {
    const touchedMs = touchedAt(path)
    if (touchedMs === null) return
    if (touchedMs !== firstMs) {
      throw new DatabaseSetupError(
        `another creditd, on ${readMark(path)?.split(' ')[0]}, is using the embedded PostgreSQL ` +
          `in ${cluster.data}: give this one a volume of its own, or let both use one server ` +
          'by DATABASE_URL',
      )
    }
    await sleep(POLL_MS)
  }
}

const readMark = (path: string): string | null => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return null
  }
}

const touchedAt = (path: string): number | null =>
  statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null
