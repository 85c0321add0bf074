import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { libraryFolders, missingPackages, unpackDebian } from '../../scripts/debian.js'
import { ROOT } from './cluster.js'

export type RedisBinary = { readonly path: string; readonly env: NodeJS.ProcessEnv }

/** Unpacked here once for all tests of this checkout. */
const CACHE = join(ROOT, 'node_modules', '.cache', 'redis')
const LOCK = `${CACHE}.lock`
/** Who has been at it for so long is gone. */
const STALE_LOCK_MS = 180_000
/** Libraries that lack others, and those others again. */
const MAX_ROUNDS = 4

const ADVICE =
  'redis-server is not here and could not be downloaded: install it (Debian, Ubuntu: apt-get ' +
  'install redis-server; Fedora: redis; macOS: brew install redis), or name its path in ' +
  'TEST_REDIS_SERVER'

/** redis-server of the system, else Debian's, unpacked into a cache. Throws with what to do. */
export const findRedisServer = async (): Promise<RedisBinary> => {
  const found = findInstalled() ?? findUnpacked()
  if (found) return found
  await withLock(() => {
    if (findUnpacked()) return
    try {
      download()
    } catch (error) {
      throw new Error(ADVICE, { cause: error })
    }
  })
  const unpacked = findUnpacked()
  if (!unpacked) throw new Error(ADVICE)
  return unpacked
}

const findInstalled = (): RedisBinary | null => {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  const paths = [
    process.env.TEST_REDIS_SERVER ?? '',
    ...folders.map((f) => join(f, 'redis-server')),
  ]
  const path = paths.find((path) => path !== '' && isRunnable({ path, env: {} }))
  return path === undefined ? null : { path, env: {} }
}

const findUnpacked = (): RedisBinary | null => {
  const binary = unpackedBinary()
  return isRunnable(binary) ? binary : null
}

/** redis-server is a link to the program that the tools share. */
const unpackedBinary = (): RedisBinary => {
  const folders = [0, 1, 2, 3].flatMap((round) => libraryFolders(`${CACHE}-libraries-${round}`))
  return {
    path: join(CACHE, 'usr', 'bin', 'redis-server'),
    env: { LD_LIBRARY_PATH: folders.join(':') },
  }
}

const download = (): void => {
  unpackDebian(['redis-server', 'redis-tools'], CACHE)
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const { path, env } = unpackedBinary()
    const missing = missingPackages(path, env)
    if (missing.length === 0) return
    unpackDebian(missing, `${CACHE}-libraries-${round}`)
  }
}

const isRunnable = ({ path, env }: RedisBinary): boolean => {
  if (!existsSync(path)) return false
  try {
    execFileSync(path, ['--version'], { env: { ...process.env, ...env }, stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

/** Test files run at the same time: one downloads, the others wait. */
const withLock = async (act: () => void): Promise<void> => {
  mkdirSync(join(CACHE, '..'), { recursive: true })
  for (;;) {
    try {
      mkdirSync(LOCK)
      break
    } catch {
      const sinceMs = statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
      if (Date.now() - sinceMs > STALE_LOCK_MS) rmSync(LOCK, { recursive: true, force: true })
      await sleep(100)
    }
  }
  try {
    act()
  } finally {
    rmSync(LOCK, { recursive: true, force: true })
  }
}
