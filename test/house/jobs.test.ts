import t from 'tap'
import { createJobs, type Job, type JobsDeps } from '../../src/jobs/runner.js'
import { openFresh, type TestContext } from '../helpers/database.js'

const EVERY_MINUTE = '* * * * *'

/** In a year long gone; start() runs what was missed, so no test waits for a slot. */
const NOW_MS = Date.UTC(2026, 0, 5, 10, 2, 30)

type Line = { message: string; job?: string }

const setUp = async (t: TestContext) => {
  const db = await openFresh(t)
  const lines: Line[] = []
  const note = (fields: object, message?: string) =>
    lines.push({ ...fields, message: message ?? '' })
  const log = { debug: note, info: note, warn: note, error: note } as unknown as JobsDeps['log']
  const time = { nowMs: NOW_MS }
  const create = (instanceId: string) => createJobs({ db, log, now: () => time.nowMs, instanceId })
  const ranBefore = (name: string, at: number) =>
    db.pool.query('insert into job_runs (name, slot, started_at) values ($1, $2, $2)', [
      name,
      new Date(at),
    ])
  const rows = async (name: string) => {
    const { rows } = await db.pool.query<{ slot: Date; outcome: string; finished_at: Date }>(
      'select slot, outcome, finished_at from job_runs where name = $1 order by slot',
      [name],
    )
    return rows
  }
  return { db, lines, time, create, ranBefore, rows }
}

/** A job and a promise of its having run. */
const jobOf = (name: string, run: Job['run'], extra: Partial<Job> = {}) => {
  let begun = () => {}
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve
  })
  const job: Job = {
    name,
    cron: EVERY_MINUTE,
    timeoutMs: 5_000,
    run: (signal) => {
      begun()
      return run(signal)
    },
    ...extra,
  }
  return { job, hasBegun }
}

t.test('a slot is done by one of three instances', async (t) => {
  const { create, ranBefore, rows } = await setUp(t)
  await ranBefore('sweep', NOW_MS - 600_000)
  let runs = 0
  const instances = ['a', 'b', 'c'].map((id) => {
    const jobs = create(id)
    jobs.add(jobOf('sweep', async () => `run ${++runs}`).job)
    return jobs
  })
  await Promise.all(instances.map((jobs) => jobs.start()))
  await Promise.all(instances.map((jobs) => jobs.stop()))
  t.equal(runs, 1)
  t.match(await rows('sweep'), [
    {},
    { slot: new Date(Date.UTC(2026, 0, 5, 10, 2)), outcome: 'run 1', finished_at: Date },
  ])
})

t.test('a job that never ran has missed nothing', async (t) => {
  const { create, rows } = await setUp(t)
  const jobs = create('a')
  jobs.add(jobOf('sweep', async () => 'done').job)
  await jobs.start()
  await jobs.stop()
  t.same(await rows('sweep'), [])
})

t.test('a slot done already is not done again by a restart', async (t) => {
  const { create, ranBefore, rows } = await setUp(t)
  await ranBefore('sweep', Date.UTC(2026, 0, 5, 10, 2))
  const jobs = create('a')
  jobs.add(jobOf('sweep', async () => 'again').job)
  await jobs.start()
  await jobs.stop()
  t.equal((await rows('sweep')).length, 1)
  t.same(jobs.lastRuns(), [])
})

t.test('a failure is logged, recorded and visible, and harms no other job', async (t) => {
  const { create, ranBefore, rows, lines } = await setUp(t)
  for (const name of ['bad', 'good']) await ranBefore(name, NOW_MS - 600_000)
  const jobs = create('a')
  jobs.add(
    jobOf('bad', async () => {
      throw new Error('the disk is full')
    }).job,
  )
  jobs.add(jobOf('good', async () => '3 deleted').job)
  await jobs.start()
  await jobs.stop()
  t.equal((await rows('bad')).at(-1)?.outcome, 'failed: the disk is full')
  t.equal((await rows('good')).at(-1)?.outcome, '3 deleted')
  t.match(lines, [{ job: 'bad', message: 'a job failed' }])
  t.match(jobs.lastRuns(), [
    { name: 'bad', hasFailed: true, outcome: 'failed: the disk is full' },
    { name: 'good', hasFailed: false },
  ])
})

t.test('a run is bounded in time and told by its signal', async (t) => {
  const { create, ranBefore, rows } = await setUp(t)
  await ranBefore('endless', NOW_MS - 600_000)
  let wasTold = false
  const run = (signal: AbortSignal) =>
    new Promise<string>(() => {
      signal.addEventListener('abort', () => {
        wasTold = true
      })
    })
  const jobs = create('a')
  jobs.add(jobOf('endless', run, { timeoutMs: 20 }).job)
  await jobs.start()
  while (jobs.lastRuns()[0]?.finishedAtMs == null) await new Promise((go) => setImmediate(go))
  await jobs.stop()
  t.ok(wasTold)
  t.equal((await rows('endless')).at(-1)?.outcome, 'failed: it took longer than 20 ms')
})

t.test('stop waits for the run under way, which is told to end', async (t) => {
  const { create, ranBefore, rows, lines } = await setUp(t)
  await ranBefore('long', NOW_MS - 600_000)
  let hasEnded = false
  const { job, hasBegun } = jobOf(
    'long',
    (signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          setImmediate(() => {
            hasEnded = true
            resolve('half of it')
          })
        })
      }),
  )
  const jobs = create('a')
  jobs.add(job)
  await jobs.start()
  await hasBegun
  await jobs.stop()
  t.ok(hasEnded)
  t.equal((await rows('long')).at(-1)?.outcome, 'half of it')
  t.same(
    lines.filter(({ message }) => message !== 'job done'),
    [],
  )
})

t.test('old rows are deleted, the newest of each job stays', async (t) => {
  const { create, ranBefore, rows } = await setUp(t)
  const day = 24 * 3_600_000
  await ranBefore('daily', NOW_MS - 40 * day)
  await ranBefore('daily', NOW_MS - 2 * day)
  await ranBefore('retired', NOW_MS - 50 * day)
  await ranBefore('retired', NOW_MS - 45 * day)
  t.equal(await create('a').cleanUp(), 2)
  t.equal((await rows('daily')).length, 1)
  t.same(
    (await rows('retired')).map(({ slot }) => slot.getTime()),
    [NOW_MS - 45 * day],
  )
})

t.test('work that every instance does leaves no rows', async (t) => {
  const { create, rows } = await setUp(t)
  const jobs = create('a')
  let runs = 0
  const { job, hasBegun } = jobOf(
    'pending',
    async () => {
      runs += 1
      return undefined
    },
    { cron: '* * * * * *', once: 'all' },
  )
  jobs.add(job)
  await jobs.start()
  await hasBegun
  await jobs.stop()
  t.ok(runs >= 1)
  t.same(await rows('pending'), [])
})

t.test('a name is taken once', async (t) => {
  const { create } = await setUp(t)
  const jobs = create('a')
  const { job } = jobOf('sweep', async () => undefined)
  jobs.add(job)
  t.throws(() => jobs.add(job), { message: /exists already/ })
})
