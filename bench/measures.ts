import type { Footprint } from './footprint.js'
import type { Round, Sample, SegmentName } from './segments.js'
import { type Spread, spreadOf } from './statistics.js'

type Common = {
  /** As in the design's table of goals. */
  readonly id: string
  readonly title: string
  readonly floor: number
  readonly goal: number
  readonly isLessBetter: boolean
}

/** One segment's figure over another's, of the same round. */
export type RatioMeasure = Common & {
  readonly kind: 'ratio'
  readonly of: SegmentName
  readonly over: SegmentName
  readonly by: 'rate' | 'p50Us'
}

/** A count that no clock is needed for. */
export type CountMeasure = Common & { readonly kind: 'count'; readonly of: keyof Footprint }

export type Measure = RatioMeasure | CountMeasure

const ratio = (
  id: string,
  title: string,
  [of, over]: readonly [SegmentName, SegmentName],
  [floor, goal]: readonly [number, number],
): RatioMeasure => ({
  ...{ kind: 'ratio', id, title, of, over, by: 'rate', floor, goal, isLessBetter: goal < floor },
})

const count = (
  id: string,
  title: string,
  of: keyof Footprint,
  [floor, goal]: readonly [number, number],
): CountMeasure => ({ kind: 'count', id, title, of, floor, goal, isLessBetter: goal < floor })

export const MEASURES: readonly Measure[] = [
  ratio('P1', 'charges over pgbench', ['charges', 'pgbench'], [1, 2]),
  ratio('P2', 'one hot account over spread', ['hot', 'charges'], [0.9, 1]),
  ratio('P3', 'hot account over pgbench hot', ['hot', 'pgbench-hot'], [8, 20]),
  ratio('P4', 'bulk operations over pgbench', ['bulk', 'pgbench'], [2, 5]),
  ratio('P5', 'charges over the empty route', ['charges', 'empty'], [0.35, 0.5]),
  { ...ratio('P6', 'p50 of one caller over a commit', ['caller', 'commits'], [3, 2]), by: 'p50Us' },
  ratio('P8', '30 % refusals over none', ['refusals', 'charges'], [0.85, 0.95]),
  ratio('P10', 'charges without Redis over with it', ['redis-down', 'limited'], [0.9, 0.98]),
  count('P11', 'round trips per charge', 'roundTripsPerCharge', [0.05, 0.02]),
  count('P11', 'bytes on disk per charge', 'bytesPerCharge', [400, 250]),
  count('P11', 'HOT updates, %', 'hotPercent', [98, 99.5]),
  ratio('P12', 'replays over fresh charges', ['replays', 'charges'], [1, 1.5]),
]

export const MEASURE_IDS = [...new Set(MEASURES.map(({ id }) => id))]

/** The segments that the measures need. `keyless` informs only, and runs when all do. */
export function segmentsFor(ids: readonly string[] | null): ReadonlySet<SegmentName> {
  const chosen = MEASURES.filter(({ id }) => ids === null || ids.includes(id))
  const needed = chosen.flatMap((m) => (m.kind === 'ratio' ? [m.of, m.over] : []))
  return new Set<SegmentName>(ids === null ? [...needed, 'keyless'] : needed)
}

export type Verdict = 'goal' | 'floor' | 'below floor'

export type Result = {
  readonly measure: Measure
  readonly value: Spread
  /** The same ratio by CPU time of all processes: what it would be if only that counted. */
  readonly byCpu: number | null
  readonly verdict: Verdict
}

/** Judges what was measured; a ratio is taken in each round, and their median counts. */
export function judge(
  rounds: readonly Round[],
  footprint: Footprint | null,
  ids: readonly string[] | null,
): Result[] {
  return MEASURES.filter(({ id }) => ids === null || ids.includes(id)).flatMap((measure) => {
    const values =
      measure.kind === 'ratio'
        ? rounds.map((round) => ratioOf(round, measure))
        : [footprint?.[measure.of] ?? Number.NaN]
    const value = spreadOf(values.filter(Number.isFinite))
    return {
      measure,
      value,
      byCpu: cpuRatioOf(rounds, measure),
      verdict: verdictOf(measure, value.median),
    }
  })
}

function ratioOf(round: Round, { of, over, by }: RatioMeasure): number {
  return (round[of]?.[by] ?? Number.NaN) / (round[over]?.[by] ?? Number.NaN)
}

function cpuRatioOf(rounds: readonly Round[], measure: Measure): number | null {
  if (measure.kind !== 'ratio' || measure.by !== 'rate') return null
  const { of, over } = measure
  const ratios = rounds.map((round) => cpuOf(round[over]) / cpuOf(round[of]))
  return spreadOf(ratios.filter(Number.isFinite)).median
}

/** NaN of nothing: then there is no ratio. */
const cpuOf = (sample: Sample | undefined): number =>
  sample ? sample.cpuUs.service + sample.cpuUs.postgres + sample.cpuUs.generator : Number.NaN

/** What could not be measured is below the floor. */
export function verdictOf(measure: Measure, value: number): Verdict {
  const { floor, goal, isLessBetter } = measure
  const reaches = (mark: number) => (isLessBetter ? value <= mark : value >= mark)
  if (reaches(goal)) return 'goal'
  return reaches(floor) ? 'floor' : 'below floor'
}
