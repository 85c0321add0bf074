import type { Flaw } from './fake-database.js'

/** A fault put into the sources, which the guarantees of that point must show. */
export type Mutant = {
  readonly point: 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8
  readonly name: string
  /** Of src/ledger. */
  readonly file?: string
  /** Must occur exactly once. */
  readonly from?: string
  readonly to?: string
  /** Left out by the database instead; the SQL has its own test. */
  readonly flaw?: Flaw
}

export const MUTANTS: readonly Mutant[] = [
  { point: 1, name: 'seq is compared instead of version', flaw: 'seq for version' },
  { point: 1, name: 'the database does not look at the epoch', flaw: 'no epoch' },
  { point: 1, name: 'the database does not look at the gate', flaw: 'no gate' },
  {
    point: 1,
    name: 'a load of another epoch leaves what was kept',
    file: 'lane.ts',
    from: '  if (reply.epoch !== yard.epoch) forgetEpoch(yard)\n',
    to: '',
  },
  {
    point: 2,
    name: 'what was kept is looked up again after the load',
    file: 'lane-run.ts',
    from: 'keptAccount(kept.get(id))',
    to: 'keptAccount(lane.cache.get(id))',
  },
  {
    point: 2,
    name: 'refusals are answered from a kept state',
    file: 'plan.ts',
    from: 'if (!isWritten && (known.isFresh || decided.length === 0)) continue',
    to: 'if (!isWritten) continue',
  },
  {
    point: 2,
    name: 'what the kept state had is not read with the new one',
    file: 'needs.ts',
    from: 'isRead ? partNeeded(operation, undefined) : undefined',
    to: 'partNeeded(operation, kept(accountId))',
  },
  {
    point: 2,
    name: 'what append refused is answered all the same',
    file: 'lane-answer.ts',
    from: "if (reply.status === 'ok' && !reason) {",
    to: "if (reply.status === 'ok') {",
  },
  {
    point: 3,
    name: 'no fence after a lost append',
    file: 'lane-recover.ts',
    from: 'await yard.deps.port.fence(accounts)',
    to: 'await Promise.resolve(accounts)',
  },
  {
    point: 3,
    name: 'a lost append is taken for not done',
    file: 'lane-recover.ts',
    from: '  for (const ticket of tickets) ticket.lookUp = true\n',
    to: '  if (tickets.some((ticket) => ticket.isSent)) return false\n',
  },
  {
    point: 3,
    name: 'keys are not looked up after a loss',
    file: 'needs.ts',
    from: 'if (lookUp || isRead) request.keys.push({ accountId, key })',
    to: 'if (lookUp || isRead) void key',
  },
  {
    point: 3,
    name: 'after the fence nothing is unknown any more',
    file: 'lane-recover.ts',
    from: 'if (ticket.isSent) ticket.isLost = true',
    to: '',
  },
  {
    point: 3,
    name: 'what is absent was not opened',
    file: 'lane.ts',
    from: 'if (state && rows',
    to: 'if (rows',
  },
  {
    point: 3,
    name: 'operations are planned although their deadline passed while loading',
    file: 'lane-run.ts',
    from: 'const tickets = batch.filter(notDone)\n  if (yard',
    to: 'const tickets = batch\n  if (yard',
  },
  { point: 4, name: 'the database does not look at the clock', flaw: 'no clock' },
  {
    point: 4,
    name: 'a decision may be made before the last row',
    file: 'draft.ts',
    from: 'nowMs: Math.max(nowMs, state.updatedAtMs)',
    to: 'nowMs',
  },
  {
    point: 4,
    name: 'a batch is sent with the time of its latest row',
    file: 'plan.ts',
    from: 'return { epoch, nowMs, accounts, keys }',
    to: 'return { epoch, nowMs: accounts[0]?.state.updatedAtMs ?? 0, accounts, keys }',
  },
  {
    point: 4,
    name: 'the time is learnt once',
    file: 'clock.ts',
    from: 'offsetMs === null ? least : Math.min(Math.max(offsetMs, least), most)',
    to: 'offsetMs ?? Math.min(least, most)',
  },
  {
    point: 5,
    name: 'nothing is done alone',
    file: 'lane-run.ts',
    from: "return reason === 'busy' ||",
    to: 'return false && ',
  },
  {
    point: 5,
    name: 'overtaken accounts are not done alone',
    file: 'lane-run.ts',
    from: ' || tickets.some((ticket) => ticket.refusals >= REFUSALS_UNTIL_ALONE)',
    to: '',
  },
  {
    point: 5,
    name: 'a batch that met a lock is tried again whole',
    file: 'lane-run.ts',
    from: 'if (isLocked && attempt + 1 >= REFUSALS_UNTIL_ALONE) {',
    to: 'if (isLocked && attempt < 0) {',
  },
  {
    point: 5,
    name: 'any number is done alone at once',
    file: 'lane-alone.ts',
    from: 'MAX_ALONE = 2',
    to: 'MAX_ALONE = 2000',
  },
  {
    point: 6,
    name: 'a data failure is retried for ever',
    file: 'lane-recover.ts',
    from: "if (kind === 'data') {",
    to: "if (kind === 'data' && failure.attempt < 0) {",
  },
  {
    point: 6,
    name: 'a data failure fails the whole batch',
    file: 'lane-recover.ts',
    from: 'if (only && tickets.length === 1) {',
    to: 'for (const only of tickets) {',
  },
  {
    point: 6,
    name: 'a retry splits the batch',
    file: 'lane-recover.ts',
    from: "if (kind === 'data') {",
    to: "if (kind === 'data' || kind === 'retry') {",
  },
  {
    point: 6,
    name: 'a failure of any other class splits the batch',
    file: 'lane-recover.ts',
    from: "if (kind === 'data') {",
    to: "if (kind === 'data' || kind === 'failed') {",
  },
  {
    point: 6,
    name: 'a read-only database is waited for',
    file: 'lane-recover.ts',
    from: "if (kind === 'unavailable') {",
    to: "if (kind === 'unavailable' && failure.attempt < 0) {",
  },
  {
    point: 7,
    name: 'the second use of a key gets a decision of its own',
    file: 'plan.ts',
    from: 'if (draft.keys.has(key) && !isFound) deferred.push(entry)',
    to: 'if (draft.keys.has(key) && isFound) deferred.push(entry)',
  },
  {
    point: 7,
    name: 'repeats of a key wait for one another',
    file: 'plan.ts',
    from: 'if (draft.keys.has(key) && !isFound) deferred.push(entry)',
    to: 'if (draft.keys.has(key)) deferred.push(entry)',
  },
  {
    point: 7,
    name: 'the second use is answered like the first',
    file: 'plan.ts',
    from: 'if (draft.keys.has(key) && !isFound) deferred.push(entry)',
    to: 'if (draft.keys.has(key) && !isFound) draft.answers.push({ ...draft.answers[0], entry })',
  },
  {
    point: 7,
    name: 'another body under the key is replayed too',
    file: 'plan.ts',
    from: 'if (row.digest === operation.digest) return',
    to: 'if (row) return',
  },
  { point: 7, name: 'the database does not look at the keys', flaw: 'no key check' },
  {
    point: 8,
    name: 'the queue has no end',
    file: 'lanes.ts',
    from: 'if (yard.open.size >= limits.queueOperations) {',
    to: 'if (yard.open.size < 0) {',
  },
  {
    point: 8,
    name: 'nobody looks at deadlines',
    file: 'lanes.ts',
    from: 'void watchDeadlines()',
    to: 'void watchDeadlines',
  },
]
