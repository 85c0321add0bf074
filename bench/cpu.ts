import { readdirSync, readFileSync } from 'node:fs'

/** CPU time used so far, in µs; all zero where there is no /proc. */
export type CpuReading = {
  readonly service: number
  readonly postgres: number
  readonly generator: number
  /** Everything on the machine. */
  readonly all: number
}

export type CpuSources = {
  readonly servicePid: number | null
  readonly postmasterPid: number
  readonly generatorPid: number
}

/** The kernel counts in hundredths of a second, whatever its own clock. */
const US_PER_TICK = 10_000
/** Fields of /proc/<pid>/stat after the name: ppid is the second, the times follow. */
const PARENT = 1
const OWN_TIMES = [11, 12]
const CHILDREN_TIMES = [13, 14]

/** The generator is what it is together with those it started and that have ended (pgbench). */
export function readCpu(sources: CpuSources): CpuReading {
  const { servicePid, postmasterPid, generatorPid } = sources
  return {
    service: servicePid === null ? 0 : timeOf(servicePid, OWN_TIMES),
    postgres: clusterTime(postmasterPid),
    generator: timeOf(generatorPid, OWN_TIMES) + timeOf(process.pid, CHILDREN_TIMES),
    all: machineTime(),
  }
}

/** The server with all its processes, those that have ended too. */
function clusterTime(postmasterPid: number): number {
  const living = processes().filter((pid) => fieldsOf(pid)[PARENT] === postmasterPid)
  const own = timeOf(postmasterPid, [...OWN_TIMES, ...CHILDREN_TIMES])
  return living.reduce((sum, pid) => sum + timeOf(pid, OWN_TIMES), own)
}

function processes(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

const timeOf = (pid: number, fields: readonly number[]): number => {
  const stat = fieldsOf(pid)
  return fields.reduce((sum, field) => sum + (stat[field] ?? 0), 0) * US_PER_TICK
}

function fieldsOf(pid: number): number[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number)
  } catch {
    return []
  }
}

/** User, nice, system, irq, softirq and steal: all but idling and waiting. */
function machineTime(): number {
  try {
    const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
      .split(/ +/)
      .slice(1)
      .map(Number)
    return (user + nice + system + irq + softirq + steal) * US_PER_TICK
  } catch {
    return 0
  }
}
