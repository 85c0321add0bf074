import type { Link } from '../link.js'
import type { StoresLog } from '../log.js'
import { createReplay, type ReplayOf, restoreAll } from './replay.js'
import type { SharedSessionDeps } from './shared.js'
import { createWitness } from './witness.js'

export type SessionKeeper = {
  /** Whether Redis may be asked: it is there, and knows what was revoked meanwhile. */
  isReady(): boolean
  stop(): void
}

export type SessionKeeperDeps = Omit<SharedSessionDeps, 'isReady'> & {
  readonly link: Link
  readonly keyPrefix: string
  readonly newId: () => string
  readonly log: StoresLog
}

/** How soon what another process revoked without reaching Redis is revoked there too. */
const REPLAY_EVERY_MS = 2_000
const RETRY_AFTER_MS = 250

/**
 * Brings Redis up to date each time it returns, before it is asked again; and while it is there,
 * tells it what processes that can not reach it have revoked.
 */
export const createSessionKeeper = (deps: SessionKeeperDeps): SessionKeeper => {
  const { link, log } = deps
  const tell = createTelling(deps)
  const state = { isReady: false, isBusy: false, isStopped: false, hasTold: false, losses: 0 }
  const catchUp = async () => {
    if (state.isBusy || state.isStopped) return
    state.isBusy = true
    const { isReady: wasReady, losses } = state
    try {
      await tell(wasReady)
      state.hasTold = false
      if (wasReady || !link.isUp()) return
      await restoreAll(deps)
      // one that was lost meanwhile may have returned without what it was told
      state.isReady = state.losses === losses
    } catch (error) {
      if (!state.hasTold) log.warn({ err: error }, 'Redis can not be told yet what was revoked')
      state.hasTold = true
      if (!state.isReady) setTimeout(again, RETRY_AFTER_MS).unref()
    } finally {
      state.isBusy = false
      if (state.losses !== losses) again()
    }
  }
  const again = () => {
    if (link.isUp()) void catchUp()
  }
  link.onChange((isUp) => {
    if (!isUp) {
      state.isReady = false
      state.losses += 1
    }
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

/** Tells Redis what was revoked: of one that returns as it was, only what it has missed. */
const createTelling = (deps: SessionKeeperDeps) => {
  const replay = createReplay(deps)
  const witness = createWitness(deps)
  /** What Redis was when it had been told of everything. */
  let known: string | null = null
  return async (isInUse: boolean): Promise<void> => {
    if (isInUse) return replay.run('new')
    // asked before: what is lost from here on is noticed the next time
    const found = await witness.ask()
    const what: ReplayOf = found !== null && found === known ? 'missed' : 'all'
    await replay.run(what)
    known = found
  }
}
