/** Time that passes only when nothing is left to do; events at one instant keep their order. */
export type VirtualTime = {
  nowMs(): number
  /** Counts what has happened, to tell what was before what within one instant. */
  step(): number
  after(delayMs: number, task: () => void): void
  sleep(ms: number): Promise<void>
  /** Runs until nothing is left to happen, or until that instant. */
  run(untilMs?: number): Promise<void>
  pending(): number
}

type Event = { readonly atMs: number; readonly task: () => void }

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

export function createVirtualTime(): VirtualTime {
  const events: Event[] = []
  let now = 0
  let step = 0

  function after(delayMs: number, task: () => void): void {
    const atMs = now + Math.max(0, delayMs)
    let place = events.length
    while (place > 0 && (events[place - 1]?.atMs ?? 0) > atMs) place -= 1
    events.splice(place, 0, { atMs, task })
  }

  return {
    nowMs: () => now,
    step: () => step,
    after,
    sleep: (ms) => new Promise((resolve) => after(ms, resolve)),
    pending: () => events.length,
    async run(untilMs = Number.POSITIVE_INFINITY) {
      await settle()
      for (;;) {
        const [event] = events
        if (!event || event.atMs > untilMs) break
        events.shift()
        now = event.atMs
        step += 1
        event.task()
        await settle()
      }
      if (Number.isFinite(untilMs)) now = Math.max(now, untilMs)
    },
  }
}
