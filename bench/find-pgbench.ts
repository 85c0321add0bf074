import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { unpackDebian } from '../scripts/debian.js'
import { borrowIdentity, findBinaries } from '../src/db/postgres-binaries.js'
import { ROOT } from './processes.js'

export type Program = {
  readonly path: string
  readonly version: string
  readonly env: NodeJS.ProcessEnv
}

const SYSTEM_ROOTS = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt']
/** Unpacked here once, and found here by later runs. */
const UNPACKED = join(ROOT, 'bench', 'out', 'pgbench')

/** pgbench of the system, else Debian's, unpacked beside the results. Throws with what to do. */
export function findPgbench(): Program {
  const found = findOf(candidates())
  if (found) return found
  try {
    unpackPostgres()
  } catch (error) {
    throw new Error(ADVICE, { cause: error })
  }
  const unpacked = findOf(systemDirectories(join(UNPACKED, SYSTEM_ROOTS[0] ?? '')))
  if (!unpacked) throw new Error(ADVICE)
  return unpacked
}

const ADVICE =
  'pgbench is not here and could not be downloaded: install it (Debian, Ubuntu: apt-get install ' +
  'postgresql; Fedora: postgresql-contrib; macOS: brew install postgresql), or leave out what is ' +
  'compared with it: npm run bench -- --measures P2,P5,P6,P8,P11,P12'

const candidates = (): string[] => [
  ...[...SYSTEM_ROOTS, join(UNPACKED, SYSTEM_ROOTS[0] ?? '')].flatMap(systemDirectories),
  ...(process.env.PATH ?? '').split(':'),
]

/** Newest first. */
function systemDirectories(root: string): string[] {
  if (!existsSync(root)) return []
  const versions = readdirSync(root).filter((name) => /^(postgresql@)?\d+$/.test(name))
  const numberOf = (name: string) => Number(name.replace(/\D/g, ''))
  return versions.sort((a, b) => numberOf(b) - numberOf(a)).map((name) => join(root, name, 'bin'))
}

function findOf(directories: readonly string[]): Program | null {
  for (const directory of directories) {
    const path = join(directory, 'pgbench')
    if (!existsSync(path)) continue
    for (const env of [{}, { LD_LIBRARY_PATH: packagedLibraries() }]) {
      const version = versionOf(path, env)
      if (version !== null) return { path, version, env }
    }
  }
  return null
}

function versionOf(path: string, env: NodeJS.ProcessEnv): string | null {
  try {
    const text = execFileSync(path, ['--version'], {
      env: { ...env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    })
    return /\d+(\.\d+)?/.exec(text)?.[0] ?? null
  } catch {
    return null
  }
}

/** libpq is beside the server that npm installed. */
const packagedLibraries = (): string => join(findBinaries(borrowIdentity()).directory, '..', 'lib')

/** Debian has it in the server's package, which would start a server if it were installed. */
function unpackPostgres(): void {
  const names = execFileSync('apt-cache', ['pkgnames', 'postgresql-'], { encoding: 'utf8' })
  const versions = [...names.matchAll(/^postgresql-(\d+)$/gm)].map(([, version]) => Number(version))
  if (versions.length === 0) throw new Error('apt knows no postgresql: apt-get update')
  unpackDebian([`postgresql-${Math.max(...versions)}`], UNPACKED)
}
