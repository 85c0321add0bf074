import { type CpuReading, readCpu } from './cpu.js'
import { type Footprint, measureFootprint } from './footprint.js'
import type { Loads, Sent } from './loads.js'
import type { Options } from './options.js'
import { untilReady } from './processes.js'
import { type Figures, type Round, type Sample, SEGMENTS, type SegmentName } from './segments.js'
import type { Stage } from './stage.js'

/** What was found to be best before the rounds. */
export type Tuning = {
  readonly connections: number
  readonly clients: number
  readonly hotClients: number
}

const BULK_OPERATIONS = 100
const BULK_CONNECTIONS = 16
const REFUSED_PERCENT = 30
/** As many callers as the goal speaks of. */
const FOOTPRINT_CALLERS = 256

/** Tries numbers of connections and clients, each for a short while; gives the quickest. */
export async function tune(
  loads: Loads,
  options: Options,
  segments: ReadonlySet<SegmentName>,
): Promise<Tuning> {
  const durationMs = options.trialMs
  const pgbench = (isHot: boolean) => (clients: number) =>
    loads.pgbench({ isHot, clients, durationMs })
  const tried = <T>(name: SegmentName, numbers: readonly T[]) =>
    segments.has(name) ? numbers : numbers.slice(-1)
  const http = (connections: number) => loads.http({ connections, durationMs })
  return {
    connections: await quickest(tried('charges', options.connections), http),
    clients: await quickest(tried('pgbench', options.clients), pgbench(false)),
    hotClients: await quickest(tried('pgbench-hot', options.hotClients), pgbench(true)),
  }
}

async function quickest(
  numbers: readonly number[],
  attempt: (number: number) => Promise<Figures>,
): Promise<number> {
  let best = { number: numbers[0] ?? 1, rate: 0 }
  if (numbers.length === 1) return best.number
  for (const number of numbers) {
    const { rate } = await attempt(number)
    if (rate > best.rate) best = { number, rate }
  }
  return best.number
}

/** Runs the segments one after the other, always in the same order. */
export async function runRound(
  { stage, loads }: { readonly stage: Stage; readonly loads: Loads },
  segments: ReadonlySet<SegmentName>,
  tuning: Tuning,
): Promise<Round> {
  const acts = actsOf(stage, loads, tuning)
  const round: Round = {}
  for (const name of SEGMENTS) {
    if (!segments.has(name)) continue
    const server = name === 'empty' ? stage.empty : stage.service
    round[name] = await withCpu({ ...stage, server }, acts[name])
  }
  return round
}

function actsOf(
  stage: Stage,
  loads: Loads,
  { connections, clients, hotClients }: Tuning,
): Record<SegmentName, () => Promise<Figures>> {
  let fresh: Sent | null = null
  let callerUs = 0
  return {
    pgbench: () => loads.pgbench({ isHot: false, clients }),
    'pgbench-hot': () => loads.pgbench({ isHot: true, clients: hotClients }),
    charges: async () => {
      const { sent, ...figures } = await loads.http({ connections })
      fresh = sent
      return figures
    },
    replays: () => {
      if (!fresh) throw new Error('there is nothing to replay')
      return loads.http({ connections, repeats: fresh })
    },
    refusals: () =>
      loads.http({ connections, refusedPercent: REFUSED_PERCENT, expects: [201, 402] }),
    empty: () => loads.http({ connections, target: 'empty' }),
    keyless: () => loads.http({ connections, hasKeys: false }),
    limited: () => loads.http({ connections, isLimited: true }),
    'redis-down': () => withoutRedis(stage, () => loads.http({ connections, isLimited: true })),
    hot: () => loads.http({ connections, accounts: 'hot' }),
    bulk: () => loads.http({ connections: BULK_CONNECTIONS, bulk: BULK_OPERATIONS }),
    caller: async () => {
      const { sent: _, ...figures } = await loads.http({ connections: 1 })
      callerUs = figures.p50Us ?? 0
      return figures
    },
    commits: () => loads.commits({ everyUs: callerUs }),
  }
}

/** Redis is killed just before, so the fall counts too; it is back and in use when this ends. */
async function withoutRedis<T>({ redis, service }: Stage, act: () => Promise<T>) {
  if (!redis) throw new Error('there is no Redis to be without')
  await redis.kill()
  try {
    return await act()
  } finally {
    await redis.start()
    await untilReady(service.port)
  }
}

/** The counts of the database for charges of many callers at once. */
export const runFootprint = (stage: Stage, loads: Loads): Promise<Footprint> =>
  measureFootprint(stage.pool, async () => {
    const { operations } = await loads.http({ connections: FOOTPRINT_CALLERS })
    return operations
  })

type Watched = Pick<Stage, 'cluster' | 'generator'> & { readonly server: { readonly pid: number } }

async function withCpu(
  { cluster, generator, server }: Watched,
  act: () => Promise<Figures>,
): Promise<Sample> {
  const sources = {
    servicePid: server.pid,
    postmasterPid: cluster.postmasterPid,
    generatorPid: generator.pid,
  }
  const before = readCpu(sources)
  const beganMs = performance.now()
  const figures = await act()
  const elapsedUs = (performance.now() - beganMs) * 1000
  const after = readCpu(sources)
  const used = (who: keyof CpuReading) => after[who] - before[who]
  const ours = used('service') + used('postgres') + used('generator')
  return {
    ...figures,
    cpuUs: {
      service: used('service') / figures.operations,
      postgres: used('postgres') / figures.operations,
      generator: used('generator') / figures.operations,
    },
    othersCpus: Math.max(0, used('all') - ours) / elapsedUs,
  }
}
