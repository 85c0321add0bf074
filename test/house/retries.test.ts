import { sql } from 'drizzle-orm'
import t from 'tap'
import {
  isConnectionLost,
  isRetryable,
  isUnavailable,
  sqlStateOf,
  toAppError,
} from '../../src/db/errors.js'
import { inTransaction, type RetryOptions, withRetries } from '../../src/db/transaction.js'
import { AppError } from '../../src/errors.js'
import { openFresh } from '../helpers/database.js'

const pgError = (code: string) =>
  Object.assign(new Error(`state ${code}`), { code, severity: 'ERROR' })
const nodeError = (code: string) => Object.assign(new Error(`connect ${code}`), { code })
const wrapped = (cause: unknown) => new Error('Failed query: select ?', { cause })

/** A clock that only sleeping moves, and the pauses that were made. */
const fakeTime = (random = 1) => {
  const pauses: number[] = []
  let nowMs = 0
  const options = {
    now: () => nowMs,
    random: () => random,
    sleep: async (ms: number) => {
      pauses.push(ms)
      nowMs += ms
    },
  } satisfies Omit<RetryOptions, 'deadlineMs'>
  return { pauses, options }
}

t.test('exactly these SQLSTATEs are worth another attempt', async (t) => {
  const retryable = [
    ...['40001', '40P01', '55P03', '57P01', '57P02', '57P03', '53300'],
    ...['08000', '08001', '08003', '08004', '08006', '08007', '08P01'],
  ]
  for (const code of retryable) {
    t.ok(isRetryable(pgError(code)), code)
    t.ok(isRetryable(wrapped(wrapped(pgError(code)))), `${code}, wrapped`)
    t.ok(isUnavailable(pgError(code)), `${code} is the database's fault`)
  }
  for (const code of [
    '23505',
    '22003',
    '42P01',
    '57014',
    '25006',
    '53100',
    '53200',
    '40003',
    'P0001',
  ]) {
    t.notOk(isRetryable(pgError(code)), code)
  }
})

t.test('connections that fail or are lost are worth another attempt', async (t) => {
  const codes = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN']
  for (const code of codes) {
    t.ok(isConnectionLost(nodeError(code)), code)
    t.ok(isRetryable(wrapped(nodeError(code))), `${code}, wrapped`)
    t.equal(sqlStateOf(nodeError(code)), null, `${code} is no SQLSTATE`)
  }
  const both = new AggregateError([nodeError('ECONNREFUSED'), nodeError('ECONNREFUSED')], '')
  t.ok(isRetryable(both), 'a name with two addresses')
  t.ok(isRetryable(new Error('Connection terminated unexpectedly')))
  t.notOk(isRetryable(new Error('Connection refused by the rules')))
  for (const error of [null, undefined, 'text', 7, {}, new Error('other')]) {
    t.notOk(isRetryable(error))
    t.equal(toAppError(error), null)
  }
})

t.test('a cause that is its own cause ends the search', async (t) => {
  const error = new Error('round')
  error.cause = error
  t.equal(isRetryable(error), false)
})

const STATUSES: Record<string, [string, number]> = {
  '25006': ['database_unavailable', 503],
  '53100': ['database_unavailable', 503],
  '53200': ['database_unavailable', 503],
  '53300': ['database_unavailable', 503],
  '57P01': ['database_unavailable', 503],
  '08006': ['database_unavailable', 503],
  '57014': ['overloaded', 503],
  '55P03': ['overloaded', 503],
  '40001': ['overloaded', 503],
}

t.test('clients are told 503 for what passes, and nothing of what is inside', async (t) => {
  for (const [code, [expected, status]] of Object.entries(STATUSES)) {
    const cause = wrapped(pgError(code))
    const error = toAppError(cause)
    t.match(error, { code: expected, status }, code)
    t.equal(error?.cause, cause)
    t.notMatch(error?.message, /state|query/i)
  }
  t.equal(toAppError(pgError('23505')), null, 'a defect of ours is not passed off as an outage')
  const own = new AppError('account_frozen', 'frozen')
  t.equal(toAppError(own), own)
})

t.test('pauses double from 100 ms to 5 s, until the deadline', async (t) => {
  const { pauses, options } = fakeTime()
  let attempts = 0
  const failing = withRetries(
    async () => {
      attempts += 1
      throw pgError('40001')
    },
    { ...options, deadlineMs: 20_000 },
  )
  await t.rejects(failing, { code: '40001' }, 'the last failure as it came')
  t.same(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000])
  t.equal(attempts, pauses.length + 1)
})

t.test('jitter takes away up to half of a pause', async (t) => {
  for (const [random, first] of [
    [0, 50],
    [0.5, 75],
    [1, 100],
  ] as const) {
    const { pauses, options } = fakeTime(random)
    await t.rejects(
      withRetries(() => Promise.reject(pgError('40P01')), { ...options, deadlineMs: 150 }),
    )
    t.equal(pauses[0], first)
  }
})

t.test(
  'no attempt begins after the deadline, and what does not pass is not repeated',
  async (t) => {
    const { pauses, options } = fakeTime()
    let attempts = 0
    const act = (error: unknown) => async () => {
      attempts += 1
      throw error
    }
    await t.rejects(withRetries(act(pgError('40001')), { ...options, deadlineMs: 100 }))
    t.equal(attempts, 1, 'the pause alone would pass the deadline')
    await t.rejects(withRetries(act(pgError('23505')), { ...options, deadlineMs: 60_000 }))
    await t.rejects(
      withRetries(act(new AppError('overloaded', 'x')), { ...options, deadlineMs: 60_000 }),
    )
    t.equal(attempts, 3)
    t.same(pauses, [])
  },
)

t.test('what succeeds on a later attempt is a success', async (t) => {
  const { options } = fakeTime()
  const told: number[] = []
  const result = await withRetries(
    async (attempt) => {
      if (attempt < 3) throw pgError('40P01')
      return attempt
    },
    { ...options, deadlineMs: 10_000, onRetry: (_error, attempt) => told.push(attempt) },
  )
  t.equal(result, 3)
  t.same(told, [1, 2])
})

t.test('a transaction is committed, or leaves nothing', async (t) => {
  const db = await openFresh(t)
  const options = { deadlineMs: 1_000 }
  const insert = sql`insert into tiers (id, level) values ('t', 1)`
  await t.rejects(
    inTransaction(
      db,
      async (tx) => {
        await tx.execute(insert)
        throw new AppError('not_found', 'changed my mind')
      },
      options,
    ),
    { code: 'not_found' },
  )
  const count = async () =>
    (await db.pool.query(`select count(*) as n from tiers where id = 't'`)).rows[0]?.n
  t.equal(await count(), 0)
  t.equal(await inTransaction(db, async (tx) => (await tx.execute(insert)).rowCount, options), 1)
  t.equal(await count(), 1)
  t.equal(db.pool.idleCount, db.pool.totalCount, 'every connection came back')
})

t.test('two transactions that would read past each other both get through', async (t) => {
  const db = await openFresh(t)
  await db.pool.query(`insert into tiers (id, level) values ('a', 0)`)
  const increment = () =>
    inTransaction(
      db,
      async (tx) => {
        const { rows } = await tx.execute<{ level: number }>(
          sql`select level from tiers where id = 'a'`,
        )
        await tx.execute(sql`update tiers set level = ${(rows[0]?.level ?? 0) + 1} where id = 'a'`)
      },
      { deadlineMs: 20_000, isolation: 'serializable', isRepeatable: true },
    )
  await Promise.all([increment(), increment(), increment()])
  const { rows } = await db.pool.query(`select level from tiers where id = 'a'`)
  t.same(rows, [{ level: 3 }])
})

t.test('a connection lost in the middle is tried again on another', async (t) => {
  const db = await openFresh(t)
  let attempts = 0
  const result = await inTransaction(
    db,
    async (tx) => {
      attempts += 1
      if (attempts === 1) await tx.execute(sql`select pg_terminate_backend(pg_backend_pid())`)
      return attempts
    },
    { deadlineMs: 10_000 },
  )
  t.equal(result, 2)
})

t.test('a connection lost at the commit is unknown, and is not tried again', async (t) => {
  const db = await openFresh(t)
  // a deferred constraint runs at the commit: there it ends the connection
  await db.pool.query(`
    create function die() returns trigger language plpgsql as
      $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
    create constraint trigger die after insert on tiers deferrable initially deferred
      for each row execute function die();
  `)
  let attempts = 0
  const lost = (isRepeatable: boolean) =>
    inTransaction(
      db,
      async (tx) => {
        attempts += 1
        await tx.execute(sql`insert into tiers (id, level) values (${`t${attempts}`}, 1)`)
      },
      { deadlineMs: 500, isRepeatable },
    )
  await t.rejects(lost(false), { code: 'outcome_unknown', status: 503 })
  t.equal(attempts, 1)
  await t.rejects(lost(true), { code: '57P01' })
  t.ok(attempts > 2, 'what may be repeated is')
  t.equal((await db.pool.query('select 1')).rowCount, 1, 'the pool is whole')
})
