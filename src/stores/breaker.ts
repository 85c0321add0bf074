export type BreakerDeps = {
  readonly monotonicMs: () => number
  readonly onOpen: (reason: Error) => void
  readonly onClose: () => void
}

/** Stays closed while all is well; open, nothing goes through but probes. */
export type Breaker = {
  isOpen(): boolean
  /** Something went wrong that would go wrong again. */
  trip(reason: Error): void
  /** How a probe went; enough good ones in a row close it. */
  noteProbe(isWell: boolean): void
  /** How often it has opened. */
  openings(): number
}

/** Who fails again so soon after it was well must show more patience the next time. */
const STEADY_MS = 10_000
/** With a probe each half second, what is well again is trusted within three seconds. */
const MAX_PROBES = 6

/** Open to begin with: the first probe shows what is there. */
export const createBreaker = ({ monotonicMs, onOpen, onClose }: BreakerDeps): Breaker => {
  let isOpen = true
  let closedAtMs = -Infinity
  let needed = 1
  let good = 0
  let openings = 0
  return {
    isOpen: () => isOpen,
    openings: () => openings,
    trip(reason) {
      good = 0
      if (isOpen) return
      const wasSteady = monotonicMs() - closedAtMs >= STEADY_MS
      needed = wasSteady ? 1 : Math.min(needed * 2, MAX_PROBES)
      isOpen = true
      openings += 1
      onOpen(reason)
    },
    noteProbe(isWell) {
      good = isWell ? good + 1 : 0
      if (!isOpen || good < needed) return
      isOpen = false
      closedAtMs = monotonicMs()
      onClose()
    },
  }
}
