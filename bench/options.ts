/** How thorough a run is. */
export type Options = {
  readonly measures: readonly string[] | null
  readonly rounds: number
  readonly durationMs: number
  readonly rampMs: number
  /** How long each number of clients is tried to find the best. */
  readonly trialMs: number
  readonly connections: readonly number[]
  readonly clients: readonly number[]
  readonly hotClients: readonly number[]
  readonly accounts: number
  readonly warmUpMs: number
  readonly seed: number
  /** How much longer each commit takes than the disk needs. */
  readonly commitDelayUs: number
}

type Profile = Omit<Options, 'measures' | 'seed' | 'commitDelayUs'>

const FULL: Profile = {
  rounds: 5,
  durationMs: 3_500,
  rampMs: 300,
  trialMs: 2_000,
  connections: [64, 128, 256],
  clients: [1, 2, 4, 8, 16, 32, 64],
  hotClients: [1, 2, 4, 8, 16, 32, 64],
  accounts: 10_000,
  warmUpMs: 4_000,
}

const QUICK: Profile = {
  ...FULL,
  rounds: 3,
  durationMs: 1_200,
  rampMs: 200,
  trialMs: 1_000,
  clients: [8, 16, 32, 64],
  hotClients: [1, 4, 16],
  warmUpMs: 2_000,
}

/** Only to see that everything runs: the figures mean nothing. */
const TINY: Profile = {
  ...QUICK,
  rounds: 1,
  durationMs: 200,
  rampMs: 20,
  trialMs: 200,
  connections: [64],
  clients: [8],
  hotClients: [2],
  accounts: 200,
  warmUpMs: 100,
}

const PROFILES = { full: FULL, quick: QUICK, tiny: TINY }
export type ProfileName = keyof typeof PROFILES

/** What was said on the command line. */
export type Given = {
  readonly profile: ProfileName
  readonly measures: string | undefined
  readonly rounds: string | undefined
  readonly seconds: string | undefined
  readonly connections: string | undefined
  readonly seed: string | undefined
  readonly commitDelayUs: string | undefined
}

const MAX_ROUNDS = 50
const MAX_SECONDS = 60
const MAX_CONNECTIONS = 1_000
/** PostgreSQL's own limit of `commit_delay`. */
const MAX_COMMIT_DELAY_US = 100_000

/** The options of a run; throws an Error with a line for the user. */
export function readOptions(given: Given, known: readonly string[]): Options {
  const profile = PROFILES[given.profile]
  const { rounds, seconds, connections, seed, commitDelayUs } = given
  return {
    ...profile,
    measures: given.measures === undefined ? null : readMeasures(given.measures, known),
    rounds: rounds === undefined ? profile.rounds : readNumber('rounds', rounds, MAX_ROUNDS),
    durationMs:
      seconds === undefined
        ? profile.durationMs
        : readNumber('seconds', seconds, MAX_SECONDS) * 1000,
    connections:
      connections === undefined
        ? profile.connections
        : connections.split(',').map((one) => readNumber('connections', one, MAX_CONNECTIONS)),
    commitDelayUs:
      commitDelayUs === undefined
        ? 0
        : readNumber('commit-delay-us', commitDelayUs, MAX_COMMIT_DELAY_US),
    seed: seed === undefined ? Date.now() % 1_000_000 : readNumber('seed', seed, 2 ** 31),
  }
}

function readMeasures(text: string, known: readonly string[]): readonly string[] {
  const names = text.split(',').map((name) => name.trim().toUpperCase())
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length === 0) return names
  throw new Error(`no such measure: ${unknown.join(', ')}; there are ${known.join(', ')}`)
}

function readNumber(name: string, text: string, max: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isInteger(value) && value >= 1 && value <= max) return value
  throw new Error(`--${name} takes a whole number from 1 to ${max}, and is ${text}`)
}
