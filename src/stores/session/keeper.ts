import type { Link } from '../link.js'
import type { StoresLog } from '../log.js'
import { createReplay, restoreAll, type SharedSessionDeps } from './shared.js'

export type SessionKeeper = {
  /** Whether Redis may be asked: it is there, and knows what was revoked meanwhile. */
  isReady(): boolean
  stop(): void
}

export type SessionKeeperDeps = Omit<SharedSessionDeps, 'isReady'> & {
  readonly link: Link
  readonly log: StoresLog
}

/** How soon what another process revoked without reaching Redis is revoked there too. */
const REPLAY_EVERY_MS = 2_000
const RETRY_AFTER_MS = 250

/**
 * Brings Redis up to date each time it returns, before it is asked again; and while it is there,
 * tells it what processes that can not reach it have revoked.
 */
export const createSessionKeeper = ({ link, log, ...deps }: SessionKeeperDeps): SessionKeeper => {
  const replay = createReplay({ ...deps, isReady: () => false })
  const state = { isReady: false, isBusy: false, isStopped: false, hasTold: false }
  const catchUp = async () => {
    if (state.isBusy || state.isStopped) return
    state.isBusy = true
    try {
      await replay.run(!state.isReady)
      state.hasTold = false
      if (state.isReady || !link.isUp()) return
      await restoreAll({ ...deps, isReady: () => false })
      state.isReady = link.isUp()
    } catch (error) {
      if (!state.hasTold) log.warn({ err: error }, 'Redis can not be told yet what was revoked')
      state.hasTold = true
      if (!state.isReady) setTimeout(again, RETRY_AFTER_MS).unref()
    } finally {
      state.isBusy = false
    }
  }
  const again = () => {
    if (link.isUp()) void catchUp()
  }
  link.onChange((isUp) => {
    if (!isUp) state.isReady = false
    again()
  })
  const timer = setInterval(again, REPLAY_EVERY_MS)
  timer.unref()
  return {
    isReady: () => state.isReady,
    stop() {
      state.isStopped = true
      clearInterval(timer)
    },
  }
}
