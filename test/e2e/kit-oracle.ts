import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type Client, PATIENCE_MS, type Reply } from './kit-client.js'
import { assertReconciled, type Ground } from './kit-ground.js'
import { attempt, type Call, isDefinite } from './kit-load.js'
import { type Book, createBook, type LotFacts, type RowView } from './kit-model.js'
import { doubt } from './kit-refusals.js'

/** Everything returns by itself: after this nothing may still be unknown. */
const QUIET_WITHIN_MS = 30_000
const RESENT_AT_ONCE = 16
/** So many answered calls are asked again, with the same body and with another. */
const REPEATED = 60

/** Asks again for everything that is not known, under its key, until all of it is. */
export const settleUnknown = async (client: Client, calls: readonly Call[]): Promise<void> => {
  const deadlineMs = performance.now() + QUIET_WITHIN_MS
  for (;;) {
    const unknown = calls.filter((call) => !isDefinite(call))
    if (unknown.length === 0) return
    if (performance.now() > deadlineMs) {
      const { trouble, reply } = unknown[0] ?? {}
      const last = JSON.stringify(reply?.body)
      throw new Error(`${unknown.length} calls are still unknown: ${trouble}, ${last}`)
    }
    for (let at = 0; at < unknown.length; at += RESENT_AT_ONCE) {
      const some = unknown.slice(at, at + RESENT_AT_ONCE)
      await Promise.all(some.map((call) => attempt(client, call, 10_000)))
    }
    await sleep(100)
  }
}

/**
 * A refusal tells nothing of an earlier attempt that its caller gave up and that may still have
 * been on its way, through another service. All is quiet now, so each service can tell (I6).
 */
const settleGivenUp = async (ground: Ground, unknown: readonly Call[]): Promise<void> => {
  for (const through of ground.services.keys()) {
    const refused = unknown.filter(({ reply }) => (reply?.status ?? 0) >= 400)
    for (let at = 0; at < refused.length; at += RESENT_AT_ONCE) {
      const some = refused.slice(at, at + RESENT_AT_ONCE)
      await Promise.all(some.map((call) => attempt(ground, call, PATIENCE_MS, through)))
    }
  }
}

/** Holds all that was answered against what is in the books; FAULTS.md says why each. */
export const assertTrue = async (
  t: Test,
  ground: Ground,
  { calls, accounts }: { calls: readonly Call[]; accounts: readonly string[] },
): Promise<void> => {
  const unknown = calls.filter(({ trouble }) => trouble !== null)
  await settleUnknown(ground, calls)
  await settleGivenUp(ground, unknown)
  await assertReconciled(t, ground)
  const faults = calls
    .filter(({ trouble }) => trouble === 'internal')
    .map(({ path, key }) => `${path} ${key}: was answered with 500`)
  const stories: Story[] = []
  for (const accountId of accounts) {
    const own = calls.filter((call) => call.accountId === accountId)
    const story = await storyOf(ground, accountId)
    stories.push(story)
    const wrong = replay(story, own)
    faults.push(...wrong, ...orderFaults(story.rows, own))
    // a book that broke off has nothing to say of refusals and lots
    if (wrong.length === 0) faults.push(...doubt(story, own), ...lotFaults(story))
  }
  const rows = stories.flatMap((story) => story.rows)
  faults.push(...transferFaults(rows))
  faults.push(...(await repeatFaults(ground, calls)))
  faults.push(...(await storedFaults(ground)))
  t.comment(summaryOf(calls, unknown, rows.length))
  t.same(faults.slice(0, 10), [], `${faults.length} faults`)
}

/** One account as the service tells of it, and the model's book of it. */
export type Story = {
  readonly accountId: string
  readonly rows: readonly RowView[]
  readonly grants: readonly RowView[]
  readonly book: Book
}

const storyOf = async (ground: Ground, accountId: string): Promise<Story> => {
  const rows = await listOf(ground, accountId, 'transactions')
  const grants = await listOf(ground, accountId, 'grants')
  const facts = grants.map((grant): [string, LotFacts] => [grant.grantId, grant])
  return { accountId, rows: rows.reverse(), grants, book: createBook(new Map(facts)) }
}

const listOf = async (
  { call }: Ground,
  accountId: string,
  list: 'transactions' | 'grants',
): Promise<RowView[]> => {
  const items: RowView[] = []
  for (let cursor = ''; ; ) {
    const { body } = await call('GET', `/v1/accounts/${accountId}/${list}?limit=200${cursor}`)
    items.push(...body[list])
    if (body.nextCursor === null) return items
    cursor = `&cursor=${body.nextCursor}`
  }
}

/** I1, I3, I5, I6, I8, I9: rows and calls belong together one to one, and follow the model. */
const replay = ({ accountId, rows, book }: Story, calls: readonly Call[]): string[] => {
  const faults: string[] = []
  const byRow = new Map<string, Call>()
  for (const call of calls) {
    if ((call.reply?.status ?? 999) >= 300) continue
    const id = call.reply?.body.transactionId
    if (byRow.has(id)) faults.push(`${accountId}: two calls were answered with ${id}`)
    byRow.set(id, call)
  }
  for (const [index, row] of rows.entries()) {
    const place = `${accountId} ${row.seq} ${row.type}`
    if (row.seq !== index + 1) faults.push(`${place}: seq ${index + 1} was expected`)
    const call = byRow.get(row.transactionId) ?? null
    byRow.delete(row.transactionId)
    if (call && JSON.stringify(call.reply?.body) !== JSON.stringify(row)) {
      faults.push(`${place}: was answered as ${JSON.stringify(call.reply?.body)}`)
    }
    try {
      book.enter(row, call)
    } catch (error) {
      // what follows would only repeat it
      return [...faults, `${place}: ${(error as Error).message}: ${JSON.stringify(row)}`]
    }
  }
  for (const [id, call] of byRow) faults.push(`${accountId}: ${call.kind} ${id} is lost`)
  return faults
}

/** I8: what was answered before another was sent comes before it. */
const orderFaults = (rows: readonly RowView[], calls: readonly Call[]): string[] => {
  const seqs = new Map(rows.map((row) => [row.transactionId, row.seq as number]))
  const done = calls.flatMap((call) => {
    const seq = seqs.get(call.reply?.body.transactionId)
    return seq === undefined ? [] : [{ seq, call }]
  })
  const byEnd = done.toSorted((a, b) => a.call.endMs - b.call.endMs)
  const faults: string[] = []
  let ended = 0
  let newest = 0
  for (const { seq, call } of done.toSorted((a, b) => a.call.startMs - b.call.startMs)) {
    for (; (byEnd[ended]?.call.endMs ?? Number.POSITIVE_INFINITY) < call.startMs; ended += 1) {
      newest = Math.max(newest, byEnd[ended]?.seq ?? 0)
    }
    if (seq < newest) faults.push(`${call.accountId} ${seq}: sent after ${newest} was answered`)
  }
  return faults
}

/** What left one account arrived at the other, once. */
const transferFaults = (rows: readonly RowView[]): string[] => {
  const sums = new Map<string, number>()
  const add = (pair: string, amount: number) => sums.set(pair, (sums.get(pair) ?? 0) + amount)
  for (const row of rows) {
    if (row.type === 'transfer_out') add(`${row.accountId} to ${row.to}`, row.amount)
    if (row.type === 'transfer_in') add(`${row.from} to ${row.accountId}`, row.amount)
  }
  return [...sums].flatMap(([pair, sum]) => (sum === 0 ? [] : [`${pair}: ${sum} credits remain`]))
}

/** The lots as the service lists them are the model's. */
const lotFaults = ({ accountId, grants, book }: Story): string[] => {
  const lots = book.lots()
  return grants.flatMap(({ grantId, remaining, held }) => {
    const lot = lots.get(grantId)
    if (lot?.left === remaining && lot?.held === held) return []
    const wanted = JSON.stringify(lot)
    return [`${accountId} ${grantId}: ${remaining}/${held}, the model has ${wanted}`]
  })
}

/** I7: the same again gives the first answer, marked; another body under the key is refused. */
const repeatFaults = async ({ call }: Ground, calls: readonly Call[]): Promise<string[]> => {
  const done = calls.filter(({ reply }) => (reply?.status ?? 999) < 300)
  const step = Math.max(1, Math.floor(done.length / REPEATED))
  const faults: string[] = []
  for (const { path, body, key, reply } of done.filter((_, i) => i % step === 0)) {
    const again = await call('POST', path, body, { idempotencyKey: key })
    const isSame = again.status === reply?.status && isReplayOf(again, reply)
    if (!isSame) faults.push(`${path} ${key}: again ${again.status} ${JSON.stringify(again.body)}`)
    const otherBody = { ...body, metadata: { other: key } }
    const other = await call('POST', path, otherBody, { idempotencyKey: key })
    if (other.body.code !== 'idempotency_key_reused') {
      faults.push(`${path} ${key}: another body was answered with ${other.status}`)
    }
  }
  return faults
}

const isReplayOf = (again: Reply, first: Reply): boolean =>
  again.headers['idempotent-replayed'] === 'true' &&
  JSON.stringify(again.body) === JSON.stringify(first.body)

/** I1, I2 and I9 as the database itself sees them, in words of our own. */
const storedFaults = async ({ sql }: Ground): Promise<string[]> => {
  const faults = await sql<{ fault: string }>(`
    select 'balance of ' || a.id as fault from accounts a
     where a.balance <> (select coalesce(sum(amount), 0) from transactions where account_id = a.id)
        or a.seq <> (select count(*) from transactions where account_id = a.id)
        or a.balance < 0 or a.held < 0 or a.held > a.balance
    union all
    select 'lots of ' || a.id from accounts a
     where (a.balance, a.held) is distinct from
           ((select coalesce(sum(remaining), 0) from grants where account_id = a.id)::bigint,
            (select coalesce(sum(held), 0) from grants where account_id = a.id)::bigint)
    union all
    select 'hold ' || h.hold_seq || ' of ' || h.account_id from holds h
     where (h.status <> 'active')::int <> (
             select count(*) from transactions t
              where t.account_id = h.account_id
                and t.type in ('capture', 'release', 'hold_expire')
                and (t.detail ->> 'holdSeq')::bigint = h.hold_seq)
    union all
    select 'refunds of ' || account_id || ' ' || charge_seq from refunds r
     group by account_id, charge_seq
    having sum(amount) > (select -amount from transactions t
                           where t.account_id = r.account_id and t.seq = r.charge_seq)`)
  return faults.map(({ fault }) => fault)
}

const summaryOf = (calls: readonly Call[], unknown: readonly Call[], rows: number): string => {
  const statuses = countBy(calls.map(({ reply }) => String(reply?.status)))
  const troubles = countBy(unknown.map(({ trouble }) => String(trouble)))
  return `${calls.length} calls ${statuses}; ${rows} rows; unknown at first: ${troubles || 'none'}`
}

const countBy = (names: readonly string[]): string => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].map(([name, count]) => `${name}×${count}`).join(' ')
}
