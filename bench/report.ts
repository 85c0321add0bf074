import type { Footprint } from './footprint.js'
import type { Machine } from './machine.js'
import type { Result } from './measures.js'
import type { Recount } from './recount.js'
import type { Tuning } from './rounds.js'
import { ABOUT, type Round, type Sample, SEGMENTS } from './segments.js'
import { figure, type Spread, spreadOf } from './statistics.js'

/** Everything a run found. */
export type Report = {
  readonly machine: Machine
  readonly postgres: string
  readonly pgbench: string | null
  readonly seed: number
  readonly commitDelayUs: number
  readonly startedAt: string
  readonly durationMs: number
  readonly loadAverages: { readonly before: number; readonly after: number }
  readonly tuning: Tuning
  readonly rounds: readonly Round[]
  readonly footprint: Footprint | null
  readonly recount: Recount
  readonly results: readonly Result[]
}

/** The report as text. */
export const render = (report: Report): string =>
  [
    table(
      ['measure', '', 'ratio', 'min–max', 'by CPU', 'floor', 'goal', 'verdict'],
      report.results.map(resultRow),
    ),
    table(
      [
        'per second',
        'median',
        'min–max',
        'p50 ms',
        'p99 ms',
        'service',
        'postgres',
        'load',
        'others',
      ],
      segmentRows(report.rounds),
    ),
    'service, postgres, load: CPU µs for each operation; others: processors busy with other things',
    ...[footprintLine(report.footprint)].flat(),
    ...recountLines(report.recount),
    machineLines(report),
  ].join('\n\n')

function resultRow({ measure, value, byCpu, verdict }: Result): string[] {
  const { id, title, floor, goal } = measure
  const cpu = byCpu === null ? '' : figure(byCpu)
  const marks = [figure(floor), figure(goal), verdict]
  return [id, title, figure(value.median), range(value), cpu, ...marks]
}

const range = ({ min, max }: Spread): string =>
  min === max || !Number.isFinite(min) ? '' : `${figure(min)}–${figure(max)}`

function segmentRows(rounds: readonly Round[]): string[][] {
  return SEGMENTS.filter((name) => rounds.some((round) => round[name])).map((name) => {
    const samples = rounds.flatMap((round) => round[name] ?? [])
    const of = (read: (sample: Sample) => number | null) =>
      spreadOf(samples.flatMap((sample) => read(sample) ?? []))
    const ms = (read: (sample: Sample) => number | null) => figure(of(read).median / 1000)
    const rate = of((sample) => sample.rate)
    return [
      name,
      figure(rate.median),
      range(rate),
      ms((sample) => sample.p50Us),
      ms((sample) => sample.p99Us),
      figure(of(({ cpuUs }) => cpuUs.service).median),
      figure(of(({ cpuUs }) => cpuUs.postgres).median),
      figure(of(({ cpuUs }) => cpuUs.generator).median),
      figure(of(({ othersCpus }) => othersCpus).median),
    ]
  })
}

const footprintLine = (footprint: Footprint | null): string[] =>
  footprint === null
    ? []
    : [
        `${figure(footprint.charges)} charges of 256 callers: one round trip for ` +
          `${figure(1 / footprint.roundTripsPerCharge)} of them; each ` +
          `${figure(footprint.bytesPerCharge)} bytes of tables and indexes, and ` +
          `${figure(footprint.walBytesPerCharge)} of WAL`,
      ]

function recountLines({ acknowledged, stored, accounts, faults }: Recount): string[] {
  if (faults.length > 0) return [`NOT EXACT:\n${faults.map((fault) => `  ${fault}`).join('\n')}`]
  return [
    `exact: ${figure(acknowledged)} charges acknowledged, ${figure(stored)} stored; ` +
      `the books of ${figure(accounts)} accounts agree`,
  ]
}

function machineLines({ machine, loadAverages, tuning, ...report }: Report): string {
  const { processors, model, memoryGib, node, commit } = machine
  const { connections, clients, hotClients } = tuning
  return [
    `${processors} × ${model}, ${memoryGib} GiB, load average ` +
      `${loadAverages.before.toFixed(1)} before and ${loadAverages.after.toFixed(1)} after`,
    `node ${node}, PostgreSQL ${report.postgres}, pgbench ${report.pgbench ?? 'not used'}, ` +
      `commit ${commit}`,
    ...(report.commitDelayUs > 0
      ? [`each commit ${report.commitDelayUs} µs longer than the disk needs, for all`]
      : []),
    `${report.rounds.length} rounds, ${connections} connections, pgbench with ${clients} clients ` +
      `and ${hotClients} on the hot account, seed ${report.seed}, ` +
      `${Math.round(report.durationMs / 1000)} s in all`,
  ].join('\n')
}

/** Columns of numbers stand to the right, words to the left. */
function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, i) =>
    Math.max(head.length, ...rows.map((row) => row[i]?.length ?? 0)),
  )
  const isText = heads.map((_, i) => rows.some((row) => /^[A-Za-z]/.test(row[i] ?? '')))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (isText[i] ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(heads), line(widths.map((width) => '─'.repeat(width))), ...rows.map(line)].join('\n')
}

/** What the names of the segments mean. */
export const legend = (): string =>
  SEGMENTS.map((name) => `  ${name.padEnd(12)} ${ABOUT[name]}`).join('\n')
