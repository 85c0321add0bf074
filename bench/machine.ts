import { execFileSync } from 'node:child_process'
import { cpus, loadavg, totalmem } from 'node:os'
import { ROOT } from './processes.js'

/** Where and with what the figures were made. */
export type Machine = {
  readonly processors: number
  readonly model: string
  readonly memoryGib: number
  readonly node: string
  readonly commit: string
}

export function describeMachine(): Machine {
  const processors = cpus()
  return {
    processors: processors.length,
    model: processors[0]?.model.trim() ?? 'unknown',
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    commit: commitOf(),
  }
}

/** Running or waiting processes, over the last minute. */
export const loadAverage = (): number => loadavg()[0] ?? 0

/** With a mark when the sources differ from it. */
function commitOf(): string {
  try {
    const git = (...args: string[]) =>
      execFileSync('git', args, {
        cwd: ROOT,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim()
    const isChanged = git('status', '--porcelain', '--', 'src', 'migrations', 'bench') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${isChanged ? '+' : ''}`
  } catch {
    return 'unknown'
  }
}
