import type { LaneLimits } from '../../src/ledger/lane.js'
import type { FakeDatabase } from './fake-database.js'
import { type Faults, NO_FAULTS } from './fake-port.js'
import type { Random } from './random.js'
import type { VirtualTime } from './virtual-time.js'

/** What may go wrong in one run. */
export type Weather = {
  readonly faults: Faults
  readonly hasLocks: boolean
  readonly hasGate: boolean
  readonly hasRestore: boolean
  readonly hasJumps: boolean
  readonly hasPoison: boolean
}

export type Plan = {
  readonly weather: Weather
  readonly processes: number
  readonly accounts: number
  readonly operations: number
  readonly durationMs: number
  readonly limits: LaneLimits
}

/** What one seed stands for. */
export function planOf(random: Random): Plan {
  const hasFaults = random.isLucky(0.7)
  const most = random.pick([0.05, 0.3])
  const faults: Faults = {
    lostBefore: random.next() * most,
    lostReply: random.next() * most,
    late: random.next() * most,
    refused: random.next() * most,
    kinds: random.pick([['retry'], ['retry', 'locked'], ['retry', 'unavailable', 'locked']]),
    delayMs: random.pick([2, 20, 200]),
    lateMs: random.pick([5, 50, 900]),
  }
  const isCalm = random.isLucky(0.15)
  const weather: Weather = {
    faults: hasFaults && !isCalm ? faults : { ...NO_FAULTS, delayMs: faults.delayMs },
    hasLocks: !isCalm && random.isLucky(0.3),
    hasGate: !isCalm && random.isLucky(0.2),
    hasRestore: !isCalm && random.isLucky(0.25),
    hasJumps: !isCalm && random.isLucky(0.2),
    hasPoison: random.isLucky(0.25),
  }
  const isNarrow = !isCalm && random.isLucky(0.15)
  return {
    weather,
    processes: random.between(1, 3),
    accounts: random.between(1, 4),
    operations: random.between(10, 50),
    durationMs: random.pick([20, 300, 1500]),
    limits: {
      lanes: random.between(1, 3),
      batchOperations: random.pick([2, 5, 200]),
      batchBytes: random.pick([1500, 100_000]),
      queueOperations: isNarrow ? 6 : 1000,
      timeoutMs: isCalm ? 10_000 : random.pick([400, 1500, 10_000]),
      cachedParts: random.pick([1, 8, 1000]),
    },
  }
}

export const accountIds = (plan: Plan): string[] =>
  Array.from({ length: plan.accounts }, (_, i) => `account-${i}`)

/** Nothing comes from outside and there is time enough: then nobody may be turned away. */
export function isFair({ weather, limits }: Plan): boolean {
  const { faults, hasLocks, hasGate, hasRestore, hasJumps } = weather
  const isQuiet = faults.lostBefore === 0 && faults.delayMs <= 20
  const isWide = limits.timeoutMs >= 10_000 && limits.queueOperations >= 1000
  return isQuiet && isWide && !hasLocks && !hasGate && !hasRestore && !hasJumps
}

export type Sky = {
  readonly plan: Plan
  readonly time: VirtualTime
  readonly random: Random
  readonly database: FakeDatabase
}

/** What comes from outside: sessions that lock, the gate, a restore, a clock that is set. */
export function brew({ plan, time, random, database }: Sky): void {
  const { weather, durationMs } = plan
  const sometime = (task: () => void) => time.after(random.next() * durationMs, task)
  if (weather.hasLocks) {
    for (let i = 0; i < 3; i += 1) {
      const id = random.pick(accountIds(plan))
      sometime(() => {
        if (!database.lock(id, `outside ${i}`)) return
        time.after(random.next() * 2 * durationMs, () => database.unlock(id, `outside ${i}`))
      })
    }
  }
  if (weather.hasGate) {
    sometime(() => {
      database.setWritable(false)
      time.after(random.next() * durationMs, () => database.setWritable(true))
    })
  }
  if (weather.hasRestore) {
    sometime(database.backUp)
    sometime(database.restore)
    sometime(database.restore)
  }
  if (weather.hasJumps) {
    for (let i = 0; i < 2; i += 1) sometime(() => database.jump(random.between(-3000, 3000)))
  }
}
