import { execFile } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type pg from 'pg'
import t from 'tap'
import { MIGRATIONS_FOLDER, migrateDown, migrateUp, migrationStatus } from '../../src/db/migrate.js'
import { openDatabase } from '../../src/db/open.js'
import { newKey } from '../../src/ledger/ids.js'
import { createLedger, type Ledger } from '../../src/ledger/ledger.js'
import type { Operation } from '../../src/ledger/model.js'
import { verify } from '../../src/ledger/verify.js'
import { appendParameters } from '../../src/ledger/wire.js'
import { createWriter } from '../../src/ledger/writer.js'
import { act, charge, decided, grant, open, requestOf } from '../append/kit.js'
import { ROOT } from '../helpers/cluster.js'
import { emptyDatabase, quietLog, type TestContext } from '../helpers/database.js'
import { temporaryDirectory } from '../helpers/server.js'

/** The first version with a ledger that can be written to: no older one ever had data. */
const OLDEST = 3
const ACCOUNTS = 40
const MIN_ROWS = 500
/** What holds the data of accounts, in every version. */
const TABLES = ['accounts', 'transactions', 'grants', 'holds', 'refunds', 'pending_work']

type Place = { readonly db: Awaited<ReturnType<typeof openDatabase>>; readonly url: string }

const openEmpty = async (t: TestContext): Promise<Place> => {
  const { url } = await emptyDatabase(t)
  const db = await openDatabase({ url, log: quietLog })
  t.teardown(() => db.close())
  return { db, url }
}

type Journal = { readonly entries: readonly { readonly idx: number }[] }

const journalIn = (folder: string): Journal =>
  JSON.parse(readFileSync(join(folder, 'meta', '_journal.json'), 'utf8')) as Journal

const NEWEST = journalIn(MIGRATIONS_FOLDER).entries.length - 1

/** The folder as it was when migration `last` was the newest. */
const folderUntil = (t: TestContext, last: number): string => {
  const folder = join(temporaryDirectory(t), 'migrations')
  cpSync(MIGRATIONS_FOLDER, folder, { recursive: true })
  const journal = journalIn(folder)
  const entries = journal.entries.filter(({ idx }) => idx <= last)
  writeFileSync(join(folder, 'meta', '_journal.json'), JSON.stringify({ ...journal, entries }))
  return folder
}

/**
 * Migrates to the oldest version that the present writer can write to, and gives its number: a
 * migration that changes the parameters of `ledger_append` moves it on.
 */
const migrateToOldest = async (t: TestContext, { db }: Place): Promise<number> => {
  for (let version = OLDEST; version <= NEWEST; version += 1) {
    await migrateUp(db, { folder: folderUntil(t, version) })
    const port = createWriter(db.pool)
    const isWritten = await decided(port, open('first'))
      .then(port.append)
      .catch(() => null)
    if (isWritten?.status === 'ok') return version
  }
  throw new Error('no version can be written to')
}

const openLedger = (pool: pg.Pool): Promise<Ledger> =>
  createLedger({
    pool,
    time: { monotonicMs: () => performance.now(), sleep, soon: setImmediate, random: Math.random },
    limits: {
      lanes: 2,
      batchOperations: 50,
      batchBytes: 1_048_576,
      queueOperations: 10_000,
      timeoutMs: 30_000,
      cachedParts: 10_000,
    },
    onFault: (error) => t.fail('an operation failed', { error }),
    onBatch: () => {},
  })

const price = (amount: number) => () => ({ amount, detail: null })

const holdOf = (id: string, amount: number): Operation => ({
  ...requestOf(id),
  kind: 'hold',
  action: 'draw',
  ttlMs: 600_000,
  quote: price(amount),
})

/** An account with some of everything: lots of each source, refunds, holds of each kind. */
const furnish = async ({ submit, now }: Ledger, id: string, i: number): Promise<void> => {
  const seqOf = async (operation: Operation) => (await submit(operation)).row?.seq ?? 0
  const lot = { ...requestOf(id), kind: 'grant', priority: 50, reason: null } as const
  const metadata = { order: `ø-${i}`, lines: [i, null] }
  await submit(open(id, 100 + i))
  await submit({ ...lot, amount: 200, source: 'monthly', expiresAtMs: now() + 3_600_000 })
  const purchase = { ...lot, key: newKey(), source: 'purchased', expiresAtMs: null } as const
  await submit({ ...purchase, amount: 50, metadata })
  const chargeSeq = await seqOf(charge(id, 120 + i))
  await submit({ ...requestOf(id), kind: 'refund', chargeSeq, amount: 30, reason: 'x' })
  const captured = await seqOf(holdOf(id, 5))
  const released = await seqOf(holdOf(id, 6))
  await submit(holdOf(id, 7))
  await submit({ ...requestOf(id), kind: 'capture', holdSeq: captured, quote: price(3) })
  await submit({ ...requestOf(id), kind: 'release', holdSeq: released })
  for (let n = 1; n < 4; n += 1) await submit(charge(id, n))
  await submit({ ...requestOf(id), kind: 'adjustment', amount: -9, reason: 'count' })
  const tier = { kind: 'membership', tier: 'pro', tierExpiresAtMs: now() + 1e9 } as const
  await submit({ ...requestOf(id), ...tier })
  if (i % 5 === 0) await submit(act(id, 'freeze'))
}

/** Two accounts of which spent credits were taken back, and some of them reinstated; one pays. */
const oweCredits = async (ledger: Ledger): Promise<void> => {
  for (const id of ['owes', 'paid']) {
    await ledger.submit(open(id, 60))
    await ledger.submit(charge(id, 60))
    for (const target of [35, 25]) {
      const back = { kind: 'claw_back', grantSeq: 1, target, reason: null, detail: {} } as const
      await ledger.submit({ ...requestOf(id), ...back })
    }
  }
  await ledger.submit(grant('paid', 40))
}

const fill = async (pool: pg.Pool): Promise<void> => {
  const ledger = await openLedger(pool)
  const names = Array.from({ length: ACCOUNTS }, (_, i) => `acc-${i}`)
  await Promise.all(names.map((id, i) => furnish(ledger, id, i)))
  const transfer = { kind: 'transfer_out', to: 'acc-2', amount: 11 } as const
  await ledger.submit({ ...requestOf('acc-1'), ...transfer })
  await oweCredits(ledger)
  await ledger.close()
}

type Columns = Readonly<Record<string, string>>

const columnsOf = async (pool: pg.Pool): Promise<Columns> => {
  const { rows } = await pool.query<{ name: string; columns: string }>(
    `select table_name as name, string_agg(quote_ident(column_name), ', ' order by column_name)
              as columns
       from information_schema.columns
      where table_schema = current_schema() and table_name = any($1)
      group by 1`,
    [TABLES],
  )
  return Object.fromEntries(rows.map(({ name, columns }) => [name, columns]))
}

/** How many rows each table has and what is in them, by the columns of the older version. */
const contentOf = async (pool: pg.Pool, columns: Columns) => {
  const content: Record<string, { rows: number; sum: string }> = {}
  for (const [table, list] of Object.entries(columns)) {
    const { rows } = await pool.query<{ rows: number; sum: string }>(
      `select count(*)::int as rows, md5(coalesce(string_agg(r.t, '|' order by r.t), '')) as sum
         from (select row(${list})::text as t from ${table}) r`,
    )
    if (rows[0]) content[table] = rows[0]
  }
  return content
}

/** An older version with hundreds of rows in it. */
const openPopulated = async (t: TestContext) => {
  const place = await openEmpty(t)
  const version = await migrateToOldest(t, place)
  await fill(place.db.pool)
  const columns = await columnsOf(place.db.pool)
  const content = () => contentOf(place.db.pool, columns)
  return { ...place, version, content, before: await content() }
}

const SOUND = { accounts: ACCOUNTS + 3, mismatches: [] }

t.test('a populated older version is brought up, down and up again, row for row', async (t) => {
  const { db, version, content, before } = await openPopulated(t)
  t.comment(`written at migration ${version}, brought up to ${NEWEST}`)
  t.same(Object.keys(before).sort(), TABLES.toSorted())
  t.ok((before.transactions?.rows ?? 0) >= MIN_ROWS, `${before.transactions?.rows} rows`)
  for (const [table, { rows }] of Object.entries(before)) t.ok(rows > 0, table)
  const { rows: owing } = await db.pool.query('select id, debt from accounts where debt > 0')
  t.same(owing, [{ id: 'owes', debt: 25 }])

  t.equal((await migrateUp(db)).length, NEWEST - version)
  t.same(await content(), before, 'nothing was changed')
  t.same(await verify(db.pool, null), SOUND, 'reconcile finds nothing')

  t.equal((await migrateDown(db, { steps: NEWEST - OLDEST })).length, NEWEST - OLDEST)
  t.same(await content(), before, 'nor on the way back')
  t.equal((await migrateUp(db)).length, NEWEST - OLDEST)
  t.same(await content(), before)
  t.same(await verify(db.pool, null), SOUND)

  const ledger = await openLedger(db.pool)
  await ledger.submit(grant('owes', 30))
  t.equal((await ledger.read('owes'))?.debt, 0, 'and the books go on from where they were')
  t.equal((await ledger.submit(charge('acc-1', 1))).row?.type, 'charge')
  await ledger.close()
  t.same(await verify(db.pool, null), SOUND)
})

t.test('two processes bring a populated older version up at once', async (t) => {
  const { db, url, version, content, before } = await openPopulated(t)
  await migrateDown(db, { steps: version - OLDEST })
  const migrate = async () => {
    const args = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts'), 'db:migrate']
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: temporaryDirectory(t),
      env: { PATH: process.env.PATH, NO_COLOR: '1', DATABASE_URL: url },
      timeout: 60_000,
    })
    return stdout
  }
  const said = await Promise.all([migrate(), migrate()])
  t.comment(said.map((text) => text.trim()).join(' / '))
  t.ok((await migrationStatus(db)).every(({ state }) => state === 'applied'))
  t.same(await content(), before)
  t.same(await verify(db.pool, null), SOUND)
})

/** The last migration before `ledger_append` took events. */
const WITHOUT_EVENTS = 10

t.test('an instance of the release before goes on while the outbox is made', async (t) => {
  const { db } = await openEmpty(t)
  await migrateUp(db, { folder: folderUntil(t, WITHOUT_EVENTS) })
  const port = createWriter(db.pool)
  const client = await db.pool.connect()
  const text = `select * from ledger_append(${Array.from({ length: 12 }, (_, i) => `$${i + 1}`)})`
  const append = async (operation: Operation) => {
    const values = appendParameters(await decided(port, operation)).slice(0, 12)
    return (await client.query({ name: 'ledger_append', text, values })).rows[0]?.status
  }
  t.equal(await append(open('a', 10)), 'ok')
  for (let i = 0; i < 6; i += 1) t.equal(await append(charge('a', 1)), 'ok')
  await migrateUp(db, { folder: folderUntil(t, WITHOUT_EVENTS + 1) })
  t.equal(await append(charge('a', 1)), 'ok', 'by the statement it prepared before')
  await migrateDown(db, { steps: 1, folder: folderUntil(t, WITHOUT_EVENTS + 1) })
  t.equal(await append(charge('a', 1)), 'ok', 'and back')
  client.release()
  const { rows } = await db.pool.query('select balance, seq from accounts')
  t.same(rows, [{ balance: 2, seq: 9 }])
})
