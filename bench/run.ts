/**
 * Measures the service against its goals, side by side with what it is compared to; see
 * docs/bench.md. `npm run bench -- --help` tells the options.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineCommand, runMain } from 'citty'
import { renderChart } from './chart.js'
import { createLoads } from './loads.js'
import { describeMachine, loadAverage } from './machine.js'
import { judge, MEASURE_IDS, segmentsFor } from './measures.js'
import { type Options, type ProfileName, readOptions } from './options.js'
import { ROOT } from './processes.js'
import { createTally, recount } from './recount.js'
import { legend, type Report, render } from './report.js'
import { runFootprint, runRound, tune } from './rounds.js'
import type { Round } from './segments.js'
import { createStage, type Stage } from './stage.js'

/** The last run's figures; those of a tiny one mean nothing and lie apart. */
const resultsOf = (profile: ProfileName): string =>
  join(ROOT, 'bench', 'out', profile === 'tiny' ? 'tiny' : '')
/** Whatever hangs, the run ends. */
const TIME_LIMIT_MS = 15 * 60_000

const command = defineCommand({
  meta: { name: 'bench', description: 'Measures the service side by side with comparators' },
  args: {
    measures: { type: 'string', description: `Only these: ${MEASURE_IDS.join(',')}` },
    rounds: { type: 'string', description: 'How often everything is run' },
    seconds: { type: 'string', description: 'How long each run takes' },
    connections: { type: 'string', description: 'Numbers to choose the best of: 64,128,256' },
    seed: { type: 'string', description: 'Repeats the accounts and amounts of an earlier run' },
    'commit-delay-us': {
      type: 'string',
      description: 'Each commit takes so much longer, for all: as on a slower disk',
    },
    quick: { type: 'boolean', description: 'A first impression, in about 90 s' },
    tiny: { type: 'boolean', description: 'Only to see that it runs; the figures mean nothing' },
    gate: {
      type: 'boolean',
      default: true,
      description: 'Fail when a floor is missed',
      negativeDescription: 'Print only; what is not exact still fails',
    },
    build: { type: 'boolean', default: true, negativeDescription: 'Measure what was built before' },
  },
  async run({ args }) {
    const { measures, rounds, seconds, connections, seed } = args
    const profile = args.tiny ? 'tiny' : args.quick ? 'quick' : 'full'
    const commitDelayUs = args['commit-delay-us']
    const tuning = { connections, seed, commitDelayUs }
    const given = { profile, measures, rounds, seconds, ...tuning } as const
    const options = readOptions(given, MEASURE_IDS)
    if (args.build) build()
    process.exitCode = await bench(options, { hasGate: args.gate, results: resultsOf(profile) })
  },
})

/** The service as it is shipped, and what is compared with it, by the same compiler. */
function build(): void {
  console.log('building')
  const run = (...args: string[]) =>
    execFileSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' })
  run(join('scripts', 'build-if-stale.mjs'))
  run(join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'bench', '--noCheck')
}

type Ending = { readonly hasGate: boolean; readonly results: string }

async function bench(options: Options, { hasGate, results }: Ending): Promise<number> {
  const { start, close } = createStage()
  const abort = (reason: string) => {
    console.error(`\n${reason}: ending everything`)
    void close().then(() => process.exit(130))
  }
  const timer = setTimeout(() => abort('this takes too long'), TIME_LIMIT_MS)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => abort(signal))
  }
  try {
    const segments = segmentsFor(options.measures)
    const needsPgbench = segments.has('pgbench') || segments.has('pgbench-hot')
    const needsRedis = segments.has('redis-down')
    const { accounts, commitDelayUs } = options
    const stage = await start({
      accounts,
      commitDelayUs,
      needsPgbench,
      needsRedis,
      log: console.log,
    })
    const report = await measure(stage, options)
    save(report, results)
    console.log(`\n${legend()}\n\n${render(report)}`)
    const isBelow = report.results.some(({ verdict }) => verdict === 'below floor')
    return report.recount.faults.length > 0 || (hasGate && isBelow) ? 1 : 0
  } finally {
    clearTimeout(timer)
    await close()
  }
}

async function measure(stage: Stage, options: Options): Promise<Report> {
  const beganMs = performance.now()
  const startedAt = new Date().toISOString()
  const before = loadAverage()
  const tally = createTally()
  const loads = createLoads(stage, options, tally)
  const segments = segmentsFor(options.measures)
  console.log('warming up, and looking for the best numbers of clients')
  await loads.http({ connections: 128, durationMs: options.warmUpMs })
  const tuning = await tune(loads, options, segments)
  const rounds: Round[] = []
  for (let number = 1; number <= options.rounds; number += 1) {
    console.log(`round ${number} of ${options.rounds}`)
    rounds.push(await runRound({ stage, loads }, segments, tuning))
  }
  const needsFootprint = options.measures === null || options.measures.includes('P11')
  const footprint = needsFootprint ? await runFootprint(stage, loads) : null
  console.log('recounting')
  return {
    machine: describeMachine(),
    postgres: stage.cluster.version,
    pgbench: stage.pgbench?.version ?? null,
    seed: options.seed,
    commitDelayUs: options.commitDelayUs,
    startedAt,
    tuning,
    rounds,
    footprint,
    recount: await recount(stage, tally),
    results: judge(rounds, footprint, options.measures),
    loadAverages: { before, after: loadAverage() },
    durationMs: performance.now() - beganMs,
  }
}

function save(report: Report, results: string): void {
  mkdirSync(results, { recursive: true })
  writeFileSync(join(results, 'latest.json'), `${JSON.stringify(report, null, 2)}\n`)
  writeFileSync(join(results, 'latest.svg'), `${renderChart(report)}\n`)
}

await runMain(command)
