import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { findBinaries, type Identity } from '../../src/db/postgres-binaries.js'

/** Where Debian and its kin keep each major version. */
const SYSTEM_ROOT = '/usr/lib/postgresql'

/**
 * The folder of the PostgreSQL binaries for tests: TEST_POSTGRES_BIN, for example
 * /usr/lib/postgresql/15/bin, else those that the service itself would embed.
 */
export const testBinaries = (identity: Identity): string => {
  const wanted = process.env.TEST_POSTGRES_BIN
  if (!wanted) return findBinaries(identity).directory
  if (!hasServer(wanted)) throw new Error(`TEST_POSTGRES_BIN: no initdb and postgres in ${wanted}`)
  return wanted
}

/** The oldest supported version that is installed here and older than `newerMajor`, if any. */
export const findOlderBinaries = (newerMajor: number): string | null => {
  const majors = existsSync(SYSTEM_ROOT) ? readdirSync(SYSTEM_ROOT).map(Number) : []
  const found = majors
    .filter((major) => major >= 15 && major < newerMajor)
    .sort((a, b) => a - b)
    .map((major) => join(SYSTEM_ROOT, String(major), 'bin'))
    .find((directory) => hasServer(directory) && isRunnable(directory))
  return found ?? null
}

const hasServer = (directory: string): boolean =>
  ['initdb', 'postgres'].every((name) => existsSync(join(directory, name)))

const isRunnable = (directory: string): boolean => {
  try {
    execFileSync(join(directory, 'postgres'), ['--version'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}
