import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { borrowIdentity, findBinaries, type Identity } from './postgres-binaries.js'
import { cleanEnvironment } from './postmaster.js'
import { DatabaseSetupError } from './setup-error.js'

/** A database cluster on disk, and how its programs are to be run. */
export type Cluster = {
  readonly directory: string
  readonly data: string
  readonly logFile: string
  readonly password: string
  readonly binaries: string
  readonly majorVersion: number
  readonly identity: Identity
  /** What the programs get as -D, and where they are started. */
  readonly dataArgument: string
  readonly workingDirectory: string
  readonly isNew: boolean
}

export const CLUSTER_USER = 'creditd'

/** Fatal errors only go there; this much of them is history enough. */
const MAX_LOG_BYTES = 1_000_000

/** A draft older than this was left by a process that died while making it. */
const STALE_DRAFT_MS = 600_000

/**
 * The cluster in DATA_DIR/postgres, made when there is none. Making it is atomic: two services at
 * once, or a crash in the middle, leave one whole cluster or none. Throws DatabaseSetupError.
 */
export const openCluster = (dataDirectory: string): Cluster => {
  const directory = resolve(dataDirectory, 'postgres')
  const identity = borrowIdentity()
  makeDataDirectory(dataDirectory)
  const isNew = !existsSync(directory)
  if (isNew) createCluster(directory, identity)
  const data = join(directory, 'data')
  const majorVersion = readVersion(data)
  const binaries = findBinaries(identity, majorVersion)
  ensureOwner(data, identity)
  const logFile = join(directory, 'postgres.log')
  if ((statSync(logFile, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) {
    truncateSync(logFile)
  }
  return {
    directory,
    data,
    logFile,
    password: readPassword(directory),
    binaries: binaries.directory,
    majorVersion,
    identity,
    ...placeOf(data, identity, majorVersion),
    isNew,
  }
}

const makeDataDirectory = (directory: string): void => {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 })
  } catch (error) {
    throw new DatabaseSetupError(
      `DATA_DIR ${directory} can not be made (${(error as Error).message}): ` +
        'set DATA_DIR to a directory that can be written to, or set DATABASE_URL',
      error,
    )
  }
}

const createCluster = (directory: string, identity: Identity): void => {
  const parent = dirname(directory)
  const draft = makeDraft(parent)
  removeOldDrafts(parent, statSync(draft).mtimeMs)
  try {
    fillDraft(draft, identity)
    // fails when another service was quicker, and then its cluster is the one
    renameSync(draft, directory)
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    if (!existsSync(directory)) throw error
  }
}

const makeDraft = (parent: string): string => {
  try {
    return mkdtempSync(join(parent, '.postgres-'))
  } catch (error) {
    throw new DatabaseSetupError(
      `DATA_DIR ${parent} can not be written to (${(error as Error).message})`,
      error,
    )
  }
}

const fillDraft = (draft: string, identity: Identity): void => {
  const data = join(draft, 'data')
  const password = randomBytes(32).toString('base64url')
  const binaries = findBinaries(identity)
  mkdirSync(data, { mode: 0o700 })
  writeFileSync(join(draft, 'password'), `${password}\n`, { mode: 0o600 })
  // initdb reads the password as the borrowed user, from a copy that exists for as long
  const copy = join(draft, 'initdb-password')
  writeFileSync(copy, `${password}\n`, { mode: 0o600 })
  if (identity.uid !== undefined) {
    // others may pass through to the data, which is closed to them, and see nothing else
    chmodSync(draft, 0o711)
    for (const path of [data, copy]) chownSync(path, identity.uid, identity.gid ?? 0)
  }
  const place = placeOf(data, identity, binaries.majorVersion)
  try {
    execFileSync(join(binaries.directory, 'initdb'), initdbArguments(place.dataArgument), {
      ...identity,
      cwd: data,
      env: cleanEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  } catch (error) {
    const output = String((error as { stderr?: unknown }).stderr ?? error)
    throw new DatabaseSetupError(
      `the embedded PostgreSQL could not be set up: ${output.replace(/\s+/g, ' ').slice(-500)}`,
      error,
    )
  }
  rmSync(copy)
}

const initdbArguments = (data: string): readonly string[] => [
  `--pgdata=${data}`,
  `--username=${CLUSTER_USER}`,
  '--auth=scram-sha-256',
  '--pwfile=../initdb-password',
  '--locale=C',
  '--encoding=UTF8',
]

/**
 * The borrowed user may not be allowed to walk to the data (a checkout in /root). The programs are
 * then started in it, which root may do for them, and find it as their own working directory.
 */
const placeOf = (
  data: string,
  identity: Identity,
  majorVersion: number,
): Pick<Cluster, 'dataArgument' | 'workingDirectory'> => {
  if (canWalkTo(data, identity)) return { dataArgument: data, workingDirectory: data }
  // before 16 the programs leave their working directory and do not find back
  if (process.platform === 'linux' && majorVersion >= 16) {
    return { dataArgument: '/proc/self/cwd', workingDirectory: data }
  }
  throw new DatabaseSetupError(
    `DATA_DIR ${dirname(dirname(data))} can not be reached by the user that PostgreSQL runs as ` +
      `(uid ${identity.uid}): set DATA_DIR to a directory whose parents others may enter`,
  )
}

const canWalkTo = (path: string, { uid, gid }: Identity): boolean => {
  if (uid === undefined) return true
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    const { mode, uid: owner, gid: group } = statSync(parent)
    const bit = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (parent === dirname(parent)) return true
  }
}

const readVersion = (data: string): number => {
  try {
    return Number.parseInt(readFileSync(join(data, 'PG_VERSION'), 'utf8'), 10)
  } catch (error) {
    throw new DatabaseSetupError(
      `${data} is not a PostgreSQL data directory, or can not be read by this user: ` +
        'restore it, or move it away to begin with an empty one',
      error,
    )
  }
}

const readPassword = (directory: string): string => {
  const path = join(directory, 'password')
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new DatabaseSetupError(`${path}, the database's password, can not be read`, error)
  }
}

/** The data may come from a machine or an image where the borrowed user had another uid. */
const ensureOwner = (data: string, { uid, gid }: Identity): void => {
  const wanted = uid ?? process.getuid?.()
  const owner = statSync(data).uid
  if (wanted === undefined || owner === wanted) return
  if (uid === undefined) {
    throw new DatabaseSetupError(
      `${data} belongs to uid ${owner} and PostgreSQL would run as uid ${wanted}: ` +
        'start creditd as the user it was first started as, or change the owner',
    )
  }
  for (const name of readdirSync(data, { recursive: true }) as string[]) {
    lchownSync(join(data, name), uid, gid ?? 0)
  }
  chownSync(data, uid, gid ?? 0)
}

/** Older than a directory made just now: of a process that died. */
const removeOldDrafts = (parent: string, nowMs: number): void => {
  for (const name of readdirSync(parent).filter((entry) => entry.startsWith('.postgres-'))) {
    const path = join(parent, name)
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? {}
    if (mtimeMs !== undefined && nowMs - mtimeMs > STALE_DRAFT_MS) {
      rmSync(path, { recursive: true, force: true })
    }
  }
}
