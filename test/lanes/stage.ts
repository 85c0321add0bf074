import assert from 'node:assert/strict'
import type { LaneLimits } from '../../src/ledger/lane.js'
import type { Lanes } from '../../src/ledger/lanes.js'
import type { Operation, Outcome } from '../../src/ledger/model.js'
import type { FailureKind } from '../../src/ledger/port.js'
import type { Books } from '../ledger/model-books.js'
import { createFakeDatabase, type FakeDatabase, type Flaw, START_MS } from './fake-database.js'
import { type CallName, createFakePort, type Fate, NO_FAULTS } from './fake-port.js'
import type { Kit } from './kit.js'
import { createRandom } from './random.js'
import { createVirtualTime, type VirtualTime } from './virtual-time.js'

/** A database, and processes before it whose every call can be told what becomes of it. */
export type Stage = {
  readonly kit: Kit
  readonly time: VirtualTime
  readonly database: FakeDatabase
  readonly calls: Call[]
  process(options?: ProcessOptions): Lanes
}

export type Call = { readonly name: CallName; readonly atMs: number }

export type ProcessOptions = {
  readonly limits?: Partial<LaneLimits>
  /** What becomes of the call number `index` (from 0) of that name; usually all is well. */
  readonly fate?: (
    name: CallName,
    index: number,
    accountIds: readonly string[],
  ) => Fate | FailureKind | undefined
  readonly lateMs?: number
  readonly delayMs?: number | (() => number)
  readonly onFault?: (operation: Operation) => void
  readonly onLoaded?: () => void
}

const LIMITS: LaneLimits = {
  lanes: 1,
  batchOperations: 200,
  batchBytes: 1_000_000,
  queueOperations: 1000,
  timeoutMs: 5000,
  cachedParts: 1000,
}

export function createStage(kit: Kit, flaws: ReadonlySet<Flaw> = new Set()): Stage {
  const time = createVirtualTime()
  const hooks = { onWrite() {}, onFence() {}, onRestore() {} }
  const database = createFakeDatabase(kit, time.nowMs, hooks, flaws)
  const calls: Call[] = []

  function createProcess(options: ProcessOptions = {}): Lanes {
    const counts = { load: 0, append: 0, fence: 0, alone: 0 }
    const { lateMs = 0, delayMs = 3 } = options
    const port = createFakePort({
      kit,
      time,
      random: createRandom(7),
      database,
      name: `process ${calls.length}`,
      faults: () => ({
        ...NO_FAULTS,
        lateMs,
        delayMs: typeof delayMs === 'number' ? delayMs : delayMs(),
      }),
      onCall(name, accountIds) {
        calls.push({ name, atMs: time.nowMs() })
        counts[name] += 1
        return options.fate?.(name, counts[name] - 1, accountIds)
      },
    })
    const load: typeof port.load = async (request) => {
      const reply = await port.load(request)
      options.onLoaded?.()
      return reply
    }
    return kit.createLanes({
      port: { ...port, load },
      clock: kit.createDatabaseClock(time.nowMs),
      time: {
        monotonicMs: time.nowMs,
        sleep: time.sleep,
        soon: (task) => time.after(0, task),
        random: () => 0.5,
      },
      limits: { ...LIMITS, ...options.limits },
      onFault: (_error, operation) => options.onFault?.(operation),
      onBatch() {},
    })
  }

  return { kit, time, database, calls, process: createProcess }
}

/** An answer, as a word: the code of a refusal, or what was applied. */
export type Told = { word: string; outcome?: Outcome; error?: unknown; atMs: number }

/** Submits now; the answer comes into the record once time has run. */
export function ask({ time }: Stage, lanes: Lanes, operation: Operation): Told {
  const told: Told = { word: 'nothing yet', atMs: Number.NaN }
  lanes.submit(operation).then(
    (outcome) => {
      Object.assign(told, { outcome, word: outcome.isReplay ? 'replayed' : 'applied' })
      told.atMs = time.nowMs()
    },
    (error: Error & { code?: string }) => {
      Object.assign(told, { error, word: error.code ?? error.message, atMs: time.nowMs() })
    },
  )
  return told
}

/** Submits and lets time run until it is answered and nothing is left to do. */
export async function answer(stage: Stage, lanes: Lanes, operation: Operation): Promise<Told> {
  const told = ask(stage, lanes, operation)
  await stage.time.run()
  return told
}

let serial = 0
/** The parts of an operation that do not matter, with a key of its own. */
export function request(accountId = 'a', key?: string) {
  serial += 1
  const digest = key ?? `body ${serial}`
  const rest = { actor: 'tester', requestId: null, metadata: null }
  return { accountId, key: key ?? `key ${serial}`, digest, ...rest }
}

export const charge = (amount: number, accountId?: string, key?: string): Operation => ({
  ...request(accountId, key),
  kind: 'charge',
  action: null,
  quote: () => ({ amount, detail: null }),
})

export const grant = (amount: number, accountId?: string, lastsMs?: number): Operation => ({
  ...request(accountId),
  kind: 'grant',
  amount,
  source: 'bonus',
  priority: 50,
  expiresAtMs: lastsMs === undefined ? null : START_MS + lastsMs,
  reason: null,
})

export const act = (
  kind: 'freeze' | 'unfreeze' | 'sweep' | 'close',
  accountId?: string,
): Operation => ({ ...request(accountId), kind })

/** Opens accounts with a signup bonus, by a process of its own. */
export async function open(stage: Stage, signupBonus: number, ...accountIds: string[]) {
  const lanes = stage.process()
  const ids = accountIds.length > 0 ? accountIds : ['a']
  const told = ids.map((id) => ask(stage, lanes, { ...request(id), kind: 'open', signupBonus }))
  await stage.time.run()
  for (const { word } of told) assert.equal(word, 'applied')
}

export const amounts = ({ rows }: Books): number[] => rows.map((row) => row.amount)
