import type {
  Batch,
  FailureKind,
  LedgerPort,
  LoadReply,
  LoadRequest,
} from '../../src/ledger/port.js'
import type { FakeDatabase } from './fake-database.js'
import type { Kit } from './kit.js'
import type { Random } from './random.js'
import type { VirtualTime } from './virtual-time.js'

/** How likely each fault is for one call, and how slow the way there and back is. */
export type Faults = {
  readonly lostBefore: number
  readonly lostReply: number
  /** Reported as lost, and arrives after all. */
  readonly late: number
  /** Refused by the server with nothing done. */
  readonly refused: number
  readonly kinds: readonly FailureKind[]
  readonly delayMs: number
  readonly lateMs: number
}

export const NO_FAULTS: Faults = {
  lostBefore: 0,
  lostReply: 0,
  late: 0,
  refused: 0,
  kinds: ['retry'],
  delayMs: 3,
  lateMs: 0,
}

export type CallName = 'load' | 'append' | 'fence' | 'alone'
export type Fate = 'ok' | 'lostBefore' | 'lostReply' | 'late' | 'refused'

export type FakePortDeps = {
  readonly kit: Kit
  readonly time: VirtualTime
  readonly random: Random
  readonly database: FakeDatabase
  /** Who locks. */
  readonly name: string
  faults(): Faults
  /** Told of each call; may say what becomes of it, whatever the odds. */
  onCall(name: CallName, accountIds: readonly string[]): Fate | FailureKind | undefined
}

const ROW_LOCK_TIMEOUT_MS = 250
const LOCK_POLL_MS = 10

/** The way to the database: it delays, loses, repeats nothing and reports what it must. */
export function createFakePort(deps: FakePortDeps): LedgerPort {
  const { database, time, name } = deps
  let transactions = 0

  async function fence(accountIds: readonly string[]): Promise<void> {
    await free(deps, accountIds)
    return call(deps, ['fence', accountIds], () => {
      if (isLocked(database, accountIds)) throw new deps.kit.PortError('locked', 'a row is locked')
      database.fence(accountIds)
    })
  }

  return {
    load: (request) => call(deps, ['load', request.accounts], () => database.load(request)),
    append: (batch) => call(deps, ['append', idsOf(batch)], () => database.append(batch)),
    fence,
    async alone(request, decide) {
      deps.onCall('alone', request.accounts)
      transactions += 1
      const owner = `${name} ${transactions}`
      const [accountId = ''] = request.accounts
      await lockRow(deps, accountId, owner)
      try {
        const reply = await locked(deps, { request, decide, owner })
        database.unlock(accountId, owner)
        return reply
      } catch (error) {
        // The server may take a while to see that the client is gone.
        time.after(deps.random.between(0, deps.faults().lateMs), () =>
          database.unlock(accountId, owner),
        )
        throw error
      }
    },
  }
}

type Transaction = {
  readonly request: LoadRequest
  readonly decide: Parameters<LedgerPort['alone']>[1]
  readonly owner: string
}

async function locked(deps: FakePortDeps, { request, decide, owner }: Transaction) {
  const { database } = deps
  const isThere = (loaded: LoadReply) => loaded.accounts.length > 0
  const loaded = await call(deps, ['load', request.accounts], () => database.load(request))
  const batch = decide(loaded)
  if (!batch) {
    await call(deps, ['append', []], () => undefined)
    return null
  }
  // Without a row there is no lock, so nothing may come between the proof and the commit.
  if (!isThere(loaded)) return call(deps, ['append', idsOf(batch)], () => database.append(batch))
  const proven = await call(deps, ['append', idsOf(batch)], () => database.prove(batch, owner))
  await call(deps, ['append', []], () => {
    // A transaction whose client is gone has been rolled back.
    const [accountId = ''] = request.accounts
    const isOpen = database.holder(accountId) === owner
    if (!isOpen) throw new deps.kit.PortError('unknown', 'the transaction was ended')
    database.write(batch, proven)
  })
  return proven
}

async function lockRow({ database, time, kit }: FakePortDeps, accountId: string, owner: string) {
  await time.sleep(1)
  const deadlineMs = time.nowMs() + ROW_LOCK_TIMEOUT_MS
  while (!database.lock(accountId, owner)) {
    if (time.nowMs() > deadlineMs) throw new kit.PortError('locked', 'the row is locked')
    await time.sleep(LOCK_POLL_MS)
  }
}

/** A fence waits for locks that others have, and gives up in the end. */
async function free({ database, time, kit }: FakePortDeps, accountIds: readonly string[]) {
  const deadlineMs = time.nowMs() + ROW_LOCK_TIMEOUT_MS
  while (isLocked(database, accountIds)) {
    if (time.nowMs() > deadlineMs) throw new kit.PortError('locked', 'a row is locked')
    await time.sleep(LOCK_POLL_MS)
  }
}

const isLocked = (database: FakeDatabase, accountIds: readonly string[]): boolean =>
  accountIds.some((id) => database.holder(id) !== undefined)

function fateOf(random: Random, faults: Faults): Fate {
  let left = random.next()
  for (const fate of ['lostBefore', 'lostReply', 'late', 'refused'] as const) {
    left -= faults[fate]
    if (left < 0) return fate
  }
  return 'ok'
}

const idsOf = ({ accounts }: Batch): string[] => accounts.map(({ state }) => state.accountId)

function call<T>(
  deps: FakePortDeps,
  what: readonly [name: CallName, accountIds: readonly string[]],
  execute: () => T,
): Promise<T> {
  const { kit, time, random } = deps
  const faults = deps.faults()
  const delay = () => random.next() * faults.delayMs
  const fate = deps.onCall(...what) ?? fateOf(random, faults)
  return new Promise((resolve, reject) => {
    const lost = () => reject(new kit.PortError('unknown', 'the connection was lost'))
    time.after(delay(), () => {
      if (fate === 'lostBefore') return time.after(delay(), lost)
      if (fate === 'late') {
        time.after(delay(), lost)
        return time.after(random.next() * faults.lateMs, () => attempt(execute))
      }
      if (fate === 'ok' || fate === 'lostReply') {
        const result = attempt(execute)
        if (fate === 'lostReply') return time.after(delay(), lost)
        const answer = () => ('value' in result ? resolve(result.value) : reject(result.error))
        return time.after(delay(), answer)
      }
      const kind = fate === 'refused' ? random.pick(faults.kinds) : fate
      time.after(delay(), () => reject(new kit.PortError(kind, `refused: ${kind}`)))
    })
  })
}

function attempt<T>(execute: () => T): { value: T } | { error: unknown } {
  try {
    return { value: execute() }
  } catch (error) {
    return { error }
  }
}
