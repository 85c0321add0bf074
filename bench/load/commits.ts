import pg from 'pg'
import { createHistogram } from './histogram.js'

export type CommitPlan = { readonly url: string; readonly durationMs: number }

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

/** One row, one commit, one connection, one after the other: what durability costs at least. */
export async function runCommits({ url, durationMs }: CommitPlan): Promise<CommitResult> {
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
      now = after
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
