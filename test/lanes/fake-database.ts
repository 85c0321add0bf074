import type { Changes } from '../../src/ledger/decision.js'
import type { Lot, Row } from '../../src/ledger/model.js'
import type {
  AppendReply,
  Batch,
  LoadReply,
  LoadRequest,
  RefusalReason,
} from '../../src/ledger/port.js'
import { type Books, contextOf, emptyBooks, freeze, post, readBack } from '../ledger/model-books.js'
import type { Kit } from './kit.js'

/** What the database can be told to leave out, to see whether anybody notices. */
export type Flaw = 'seq for version' | 'no epoch' | 'no gate' | 'no clock' | 'no key check'

/** One account's part of a committed batch. */
export type Write = {
  readonly accountId: string
  readonly nowMs: number
  readonly before: Books
  readonly after: Books
  readonly changes: Changes
}

export type FakeDatabase = {
  nowMs(): number
  jump(ms: number): void
  books(accountId: string): Books
  accounts(): readonly string[]
  load(request: LoadRequest): LoadReply
  /** Takes, proves and writes in one instant, as an autocommit call does. */
  append(batch: Batch): AppendReply
  /** What `append` would answer to the holder of a lock. */
  prove(batch: Batch, owner: string): AppendReply
  write(batch: Batch, reply: AppendReply): void
  fence(accountIds: readonly string[]): void
  /** False: somebody else has it. */
  lock(accountId: string, owner: string): boolean
  unlock(accountId: string, owner: string): void
  holder(accountId: string): string | undefined
  setWritable(isWritable: boolean): void
  /** Keeps all there is, to be restored later. */
  backUp(): void
  /** Goes back to the last backup, as an operator's restore or rollback does: a new epoch. */
  restore(): void
}

export type DatabaseHooks = {
  onWrite(write: Write): void
  onFence(accountId: string, after: Books): void
  onRestore(lost: readonly Row[]): void
}

export const START_MS = 1_000_000_000

const MAX_CLOCK_ERROR_MS = 1000

/** A database in memory that keeps every promise of `ledger_append`, but for its flaws. */
export function createFakeDatabase(
  { PortError }: Kit,
  monotonicMs: () => number,
  hooks: DatabaseHooks,
  flaws: ReadonlySet<Flaw>,
): FakeDatabase {
  let stored = new Map<string, Books>()
  let backup = new Map<string, Books>()
  let epoch = 1
  let isWritable = true
  let jumpedMs = 0
  const locks = new Map<string, string>()

  const books = (accountId: string): Books => stored.get(accountId) ?? emptyBooks()
  const nowMs = () => Math.floor(START_MS + monotonicMs() + jumpedMs)

  function statusOf(batch: Batch): AppendReply['status'] {
    if (batch.epoch !== String(epoch) && !flaws.has('no epoch')) return 'epoch'
    if (!isWritable && !flaws.has('no gate')) return 'gate'
    const isFar = Math.abs(nowMs() - batch.nowMs) > MAX_CLOCK_ERROR_MS
    return isFar && !flaws.has('no clock') ? 'clock' : 'ok'
  }

  function refusalOf(batch: Batch, index: number, owner: string): RefusalReason | undefined {
    const account = batch.accounts[index]
    if (!account) return undefined
    const { accountId } = account.state
    const { state, rows } = books(accountId)
    if ((locks.get(accountId) ?? owner) !== owner) return state ? 'busy' : 'moved'
    const isSame = flaws.has('seq for version')
      ? (state?.seq ?? 0) === account.baseSeq
      : (state?.version ?? 0) === account.base
    if (!isSame || (state === null) !== (account.base === 0)) return 'moved'
    if (flaws.has('no key check')) return undefined
    const own = batch.keys.filter((k) => k.accountId === accountId)
    return own.some(({ key }) => rows.some((row) => row.key === key)) ? 'key' : undefined
  }

  function prove(batch: Batch, owner: string): AppendReply {
    const status = statusOf(batch)
    const refused = new Map<string, RefusalReason>()
    for (const [index, { state }] of batch.accounts.entries()) {
      const reason = status === 'ok' ? refusalOf(batch, index, owner) : undefined
      if (reason) refused.set(state.accountId, reason)
    }
    return { status, nowMs: nowMs(), refused }
  }

  function write(batch: Batch, reply: AppendReply): void {
    if (reply.status !== 'ok') return
    const written = batch.accounts.filter(
      ({ state, base }) => !reply.refused.has(state.accountId) && state.version !== base,
    )
    for (const { state, changes } of written) {
      const fault = faultOf(books(state.accountId), changes)
      if (fault) throw new PortError('data', fault)
    }
    for (const { state, changes } of written) {
      const before = books(state.accountId)
      const after = freeze(post(before, state, changes))
      stored.set(state.accountId, after)
      const { accountId } = state
      hooks.onWrite({ accountId, nowMs: batch.nowMs, before, after, changes })
    }
  }

  return {
    nowMs,
    jump(ms) {
      jumpedMs += ms
    },
    books,
    accounts: () => [...stored.keys()],
    load: (request) => freeze(read(request, books, { epoch: String(epoch), nowMs: nowMs() })),
    append(batch) {
      const reply = prove(batch, 'append')
      write(batch, reply)
      return reply
    },
    prove,
    write,
    fence(accountIds) {
      for (const accountId of accountIds) {
        const before = books(accountId)
        if (!before.state) continue
        const state = { ...before.state, version: before.state.version + 1 }
        stored.set(accountId, freeze({ ...before, state }))
        hooks.onFence(accountId, books(accountId))
      }
    },
    lock(accountId, owner) {
      if ((locks.get(accountId) ?? owner) !== owner) return false
      locks.set(accountId, owner)
      return true
    },
    unlock(accountId, owner) {
      if (locks.get(accountId) === owner) locks.delete(accountId)
    },
    holder: (accountId) => locks.get(accountId),
    setWritable(to) {
      isWritable = to
    },
    backUp() {
      backup = new Map(stored)
    },
    restore() {
      const lost = [...stored].flatMap(([accountId, { rows }]) =>
        rows.slice(backup.get(accountId)?.rows.length ?? 0),
      )
      stored = new Map(backup)
      epoch += 1
      // Open transactions end with it.
      locks.clear()
      hooks.onRestore(lost)
    },
  }
}

/** What the database itself would not take: what is to be unique, and values it can not store. */
function faultOf({ rows, events }: Books, changes: Changes): string | undefined {
  const keys = [...rows, ...changes.rows].flatMap((row) => row.key ?? [])
  if (new Set(keys).size < keys.length) return 'a key is there twice'
  const seqs = [...rows, ...changes.rows].map((row) => row.seq)
  if (new Set(seqs).size < seqs.length) return 'a seq is there twice'
  const ids = [...events, ...changes.events].map((event) => event.id)
  if (new Set(ids).size < ids.length) return 'an event is there twice'
  if (changes.rows.some((row) => row.metadata?.isPoison)) return 'a value can not be stored'
  return undefined
}

function read(
  request: LoadRequest,
  books: (accountId: string) => Books,
  at: { epoch: string; nowMs: number },
): LoadReply {
  const accounts = request.accounts.flatMap((id) => readBack(books(id)) ?? [])
  const rows = request.keys.flatMap(({ accountId, key }) =>
    books(accountId).rows.filter((row) => row.key === key),
  )
  const charges = request.charges.flatMap(({ accountId, seq }) => {
    const charge = contextOf(books(accountId)).charges.get(seq)
    return charge ? [charge] : []
  })
  const holds = request.holds.flatMap(({ accountId, seq }) => {
    const hold = books(accountId).holds.get(seq)
    return hold ? [{ accountId, hold }] : []
  })
  const asked = [
    ...request.lots,
    ...charges.flatMap(({ row }) =>
      row.parts.map((part) => ({ accountId: row.accountId, seq: part.grantSeq })),
    ),
  ]
  const lots = asked.flatMap(({ accountId, seq }): { accountId: string; lot: Lot }[] => {
    const lot = books(accountId).lots.get(seq)
    return lot ? [{ accountId, lot }] : []
  })
  return { ...at, accounts, rows, charges, holds, lots }
}
