import pg from 'pg'
import { createHistogram } from './histogram.js'

export type CommitPlan = {
  readonly url: string
  readonly durationMs: number
  /** One commit begins at most this often; 0: each follows the one before at once. */
  readonly everyUs: number
}

export type CommitResult = {
  readonly commits: number
  readonly rate: number
  readonly latencyUs: { readonly p50: number; readonly p95: number; readonly p99: number }
  readonly cpuUs: number
}

export const COMMITS_TABLE =
  'create table commits (id bigint primary key generated always as identity, ' +
  'amount bigint not null)'
const INSERT = { name: 'commit', text: 'insert into commits (amount) values ($1)' }

/**
 * One row, one commit, one connection: what durability costs at least. At the pace of what it is
 * compared with: a disk that is written without a pause answers much sooner than one that idled.
 */
export async function runCommits(plan: CommitPlan): Promise<CommitResult> {
  const { url, durationMs, everyUs } = plan
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const histogram = createHistogram()
    const cpuBefore = process.cpuUsage()
    const beganMs = performance.now()
    let now = beganMs
    while (now - beganMs < durationMs) {
      await client.query({ ...INSERT, values: [5] })
      const after = performance.now()
      histogram.record((after - now) * 1000)
      pause(now + everyUs / 1000 - after)
      now = performance.now()
    }
    const { user, system } = process.cpuUsage(cpuBefore)
    return {
      commits: histogram.count(),
      rate: histogram.count() / ((now - beganMs) / 1000),
      latencyUs: {
        p50: histogram.quantile(0.5),
        p95: histogram.quantile(0.95),
        p99: histogram.quantile(0.99),
      },
      cpuUs: user + system,
    }
  } finally {
    await client.end()
  }
}

const NEVER_SET = new Int32Array(new SharedArrayBuffer(4))

/** Blocks without using the processor; timers would be a millisecond off. */
function pause(ms: number): void {
  if (ms > 0) Atomics.wait(NEVER_SET, 0, 0, ms)
}
