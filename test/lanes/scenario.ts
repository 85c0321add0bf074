import assert from 'node:assert/strict'
import type { AppError } from '../../src/errors.js'
import type { Lanes } from '../../src/ledger/lanes.js'
import type { Operation } from '../../src/ledger/model.js'
import { createFakeDatabase, type FakeDatabase, type Flaw } from './fake-database.js'
import { createFakePort, NO_FAULTS } from './fake-port.js'
import { type Call, codeOf, createHistory, type History, isUnknown } from './history.js'
import type { Kit } from './kit.js'
import { createOperations, TOLD } from './operations.js'
import { createRandom, type Random } from './random.js'
import { createVirtualTime, type VirtualTime } from './virtual-time.js'
import { accountIds, brew, isFair, type Plan, planOf } from './weather.js'

export type World = {
  readonly kit: Kit
  readonly plan: Plan
  readonly time: VirtualTime
  readonly random: Random
  readonly database: FakeDatabase
  readonly history: History
  readonly processes: Lanes[]
  isStormy: boolean
  portCalls: number
}

/** A deadline may be overrun by the interval at which deadlines are looked at. */
const DEADLINE_SLACK_MS = 51
/** The longest backoff, with a call on either side. */
const CALM_AFTER_MS = 6000
const PROBE_MS = 200

/** Plays one seed from beginning to end and throws at the first promise that is broken. */
export async function play(
  seed: number,
  kit: Kit,
  flaws: ReadonlySet<Flaw> = new Set(),
): Promise<readonly Call[]> {
  const random = createRandom(seed)
  const world = createWorld(kit, random, planOf(random), flaws)
  await storm(world)
  await calmDown(world)
  await probe(world)
  world.history.finish(world.database.books)
  await close(world)
  world.history.complain()
  return world.history.calls
}

export function createWorld(kit: Kit, random: Random, plan: Plan, flaws: ReadonlySet<Flaw>): World {
  const time = createVirtualTime()
  const now = () => ({ step: time.step(), databaseMs: database.nowMs() })
  const history = createHistory(now, () => (plan.weather.hasJumps ? 7000 : 1000))
  const database: FakeDatabase = createFakeDatabase(
    kit,
    time.nowMs,
    {
      onWrite: history.onWrite,
      onFence: history.add,
      onRestore(lost) {
        history.onLost(lost)
        for (const id of accountIds(plan)) history.add(id, database.books(id))
      },
    },
    flaws,
  )
  const processes: Lanes[] = []
  const shared = { kit, plan, time, random, database, history, processes }
  const world: World = { ...shared, isStormy: true, portCalls: 0 }
  for (let i = 0; i < plan.processes; i += 1) processes.push(createProcess(world, `process ${i}`))
  return world
}

function createProcess(world: World, name: string): Lanes {
  const { kit, time, random, database, plan } = world
  const startMs = random.between(0, 1_000_000)
  const monotonicMs = () => startMs + time.nowMs()
  const port = createFakePort({
    kit,
    time,
    random,
    database,
    name,
    faults: () => (world.isStormy ? plan.weather.faults : NO_FAULTS),
    onCall() {
      world.portCalls += 1
      return undefined
    },
  })
  return kit.createLanes({
    port,
    clock: kit.createDatabaseClock(monotonicMs),
    time: {
      monotonicMs,
      sleep: time.sleep,
      soon: (task) => time.after(0, task),
      random: random.next,
    },
    limits: plan.limits,
    told: TOLD,
    onFault() {},
    onBatch() {},
  })
}

/** Submits, and checks the answer against all that the account was meanwhile. */
export async function submit(world: World, lanes: Lanes, operation: Operation): Promise<Call> {
  const { history, time, database, plan } = world
  const instant = () => ({ step: time.step(), databaseMs: database.nowMs() })
  const call: Call = { operation, sent: instant(), answered: null, answer: null }
  const sentMs = time.nowMs()
  history.calls.push(call)
  try {
    call.answer = { outcome: await lanes.submit(operation) }
  } catch (error) {
    call.answer = { error: error as AppError }
  }
  call.answered = instant()
  const tookMs = time.nowMs() - sentMs
  const mostMs = plan.limits.timeoutMs + DEADLINE_SLACK_MS
  history.keep(() => assert.ok(tookMs <= mostMs, `answered after ${tookMs} ms (I10)`))
  history.check(call)
  return call
}

async function storm(world: World): Promise<void> {
  const { plan, time, random, database } = world
  const next = createOperations({
    random,
    accountIds: accountIds(plan),
    databaseMs: database.nowMs,
    hasPoison: plan.weather.hasPoison,
  })
  const isOpened = random.isLucky(0.8)
  for (let i = 0; i < plan.operations; i += 1) {
    const atMs = random.next() * plan.durationMs
    const lanes = random.pick(world.processes)
    time.after(atMs, () => void submit(world, lanes, next()))
  }
  if (isOpened) for (const id of accountIds(plan)) openAccount(world, id)
  brew(world)
  const calm = plan.durationMs + plan.limits.timeoutMs
  time.after(random.pick([plan.durationMs, calm]), () => {
    world.isStormy = false
  })
  await time.run(calm + DEADLINE_SLACK_MS)
  world.history.complain()
  const open = world.history.calls.find(({ answered }) => answered === null)
  assert.ok(!open, `${open?.operation.key} was never answered (I10)`)
  if (isFair(plan)) {
    for (const call of world.history.calls) {
      const code = codeOf(call)
      assert.ok(code !== 'overloaded' && code !== 'outcome_unknown', `${code} without a fault`)
    }
  }
}

function openAccount(world: World, accountId: string): void {
  const [lanes] = world.processes
  const request = { accountId, key: 'opening', digest: 'opening', actor: 'tester' }
  const rest = { requestId: null, metadata: null, kind: 'open', signupBonus: 100 } as const
  if (lanes) void submit(world, lanes, { ...request, ...rest })
}

/** Faults have ended: after a while all that was unknown is asked again, and told. */
async function calmDown(world: World): Promise<void> {
  const { time, history, plan, random } = world
  world.isStormy = false
  await time.run(time.nowMs() + CALM_AFTER_MS + 2 * plan.durationMs)
  const unknown = history.calls.filter(isUnknown)
  const calls = history.calls.length
  for (const { operation } of unknown) {
    void submit(world, random.pick(world.processes), operation)
  }
  await time.run(time.nowMs() + plan.limits.timeoutMs + DEADLINE_SLACK_MS)
  history.complain()
  for (const call of history.calls.slice(calls)) {
    const isPoison = call.operation.metadata?.isPoison === true
    assert.ok(isPoison || !isUnknown(call), `${call.operation.key} can still not be told (I6)`)
  }
}

/** Every account answers at once again, from every process. */
async function probe(world: World): Promise<void> {
  const { time, plan, processes, history } = world
  const calls = history.calls.length
  for (const accountId of accountIds(plan)) {
    const request = { accountId, actor: 'prober', requestId: null, metadata: null } as const
    for (const [i, lanes] of processes.entries()) {
      const key = { key: `probe ${i}`, digest: 'probe' }
      void submit(world, lanes, { ...request, ...key, kind: 'sweep' })
    }
  }
  const sentMs = time.nowMs()
  await time.run(sentMs + PROBE_MS)
  history.complain()
  const isAnswered = history.calls.every(({ answered }) => answered !== null)
  assert.ok(isAnswered, 'an account does not answer although all is well (I11)')
  for (const call of history.calls.slice(calls)) {
    const code = codeOf(call)
    assert.ok(['applied', 'account_not_found', 'account_closed'].includes(code), `${code} (I11)`)
  }
}

/** Nothing is left: no operation, no timer, no call; and the calls made had a measure. */
async function close(world: World): Promise<void> {
  const { time, history, processes } = world
  for (const lanes of processes) {
    const { queued, inFlight } = lanes.stats()
    assert.deepEqual({ queued, inFlight }, { queued: 0, inFlight: 0 }, 'nothing waits (I11)')
    void lanes.close()
  }
  await time.run(time.nowMs() + CALM_AFTER_MS)
  assert.equal(time.pending(), 0, 'nothing is left running (I11)')
  const most = 300 + 40 * history.calls.length
  assert.ok(world.portCalls <= most, `${world.portCalls} calls for ${history.calls.length} (I10)`)
}
