import type { Shape } from './load/requests.js'
import type { Options } from './options.js'
import type { Tally } from './recount.js'
import type { Figures } from './segments.js'
import type { Stage } from './stage.js'

/** One run of requests; charges over all accounts with keys unless it says otherwise. */
export type HttpLoad = Partial<
  Pick<Shape, 'accounts' | 'hasKeys' | 'refusedPercent' | 'bulk' | 'isLimited'>
> & {
  readonly connections: number
  readonly durationMs?: number
  /** Where to: the service unless said otherwise. */
  readonly target?: 'service' | 'empty'
  /** Sends the requests of an earlier run again. */
  readonly repeats?: Sent
  readonly expects?: readonly number[]
}

/** Which requests were sent. */
export type Sent = { readonly run: number; readonly requests: number }

export type PgbenchLoad = {
  readonly isHot: boolean
  readonly clients: number
  readonly durationMs?: number
}

export type Loads = {
  http(load: HttpLoad): Promise<Figures & { readonly sent: Sent }>
  pgbench(load: PgbenchLoad): Promise<Figures>
  commits(pace: { readonly everyUs: number }): Promise<Figures>
}

/** Makes load on what is on the stage, and keeps the tally of what was acknowledged. */
export function createLoads(stage: Stage, options: Options, tally: Tally): Loads {
  let runs = 0
  return {
    async http(load) {
      runs += 1
      const run = load.repeats?.run ?? runs
      const { target = 'service', expects = [201], bulk = 1, connections } = load
      const result = await stage.generator.load({
        port: stage[target].port,
        connections,
        durationMs: load.durationMs ?? options.durationMs,
        rampMs: options.rampMs,
        cycle: load.repeats?.requests ?? null,
        shape: shapeOf(load, { run, seed: options.seed, apiKey: stage.apiKey }, options.accounts),
      })
      const { statuses, rate, requests, latencyUs } = result
      if (target === 'service') tally.add(result)
      const unexpected = Object.keys(statuses).filter((status) => !expects.includes(Number(status)))
      if (unexpected.length > 0) throw new Error(`unexpected replies: ${JSON.stringify(statuses)}`)
      if (load.repeats && result.applied > 0) throw new Error('a replay was charged again')
      const operations = requests * bulk
      return { ...timesOf(latencyUs), rate, operations, statuses, sent: { run, requests } }
    },

    async pgbench({ isHot, clients, durationMs = options.durationMs }) {
      if (!stage.pgbench) throw new Error('pgbench was not prepared')
      const { rate, transactions } = await stage.pgbench.run({ isHot, clients, durationMs })
      tally.addPgbench(transactions)
      return { rate, operations: transactions, p50Us: null, p99Us: null, statuses: {} }
    },

    async commits({ everyUs }) {
      const { durationMs } = options
      const plan = { url: stage.commitsUrl, durationMs, everyUs }
      const { rate, commits, latencyUs } = await stage.generator.commits(plan)
      return { ...timesOf(latencyUs), rate, operations: commits, statuses: {} }
    },
  }
}

const shapeOf = (
  { accounts, hasKeys = true, refusedPercent = 0, bulk = 1, isLimited = false }: HttpLoad,
  given: Pick<Shape, 'run' | 'seed' | 'apiKey'>,
  allAccounts: number,
) => ({ ...given, accounts: accounts ?? allAccounts, hasKeys, refusedPercent, bulk, isLimited })

const timesOf = ({ p50, p99 }: { readonly p50: number; readonly p99: number }) => ({
  p50Us: p50,
  p99Us: p99,
})
