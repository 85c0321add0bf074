import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ROOT } from '../helpers/cluster.js'

/** What stands beside dist in a checkout and in the image. */
const BESIDE = ['node_modules', 'migrations', 'package.json']
const BUILD_TIMEOUT_MS = 90_000

/**
 * What node is given to run the service compiled, as in production; it starts in half the time.
 * Compiled once for each state of src, apart from dist, which is somebody else's.
 */
export const compiledService = async (): Promise<readonly string[]> => {
  const prefix = `creditd-e2e-build-${userInfo().uid}-`
  const place = join(tmpdir(), `${prefix}${sourceHash()}`)
  if (!existsSync(place)) {
    removeOldBuilds(prefix)
    await build(place)
  }
  return ['--enable-source-maps', join(place, 'dist', 'server.js')]
}

const build = async (place: string): Promise<void> => {
  const draft = mkdtempSync(`${place}-`)
  for (const name of BESIDE) symlinkSync(join(ROOT, name), join(draft, name))
  mkdirSync(join(draft, 'dist'))
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  // types are checked elsewhere
  const args = ['-p', 'tsconfig.build.json', '--noCheck', '--incremental', 'false']
  await promisify(execFile)(
    process.execPath,
    [tsc, ...args, '--tsBuildInfoFile', 'null', '--outDir', join(draft, 'dist')],
    { cwd: ROOT, timeout: BUILD_TIMEOUT_MS, env: { PATH: process.env.PATH } },
  )
  try {
    renameSync(draft, place)
  } catch (error) {
    // another test file was quicker; its build is the same
    rmSync(draft, { recursive: true, force: true })
    if (!existsSync(place)) throw error
  }
}

/** No test runs for so long. */
const OLD_MS = 3_600_000

const removeOldBuilds = (prefix: string): void => {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(prefix))) {
    const path = join(tmpdir(), name)
    const { mtimeMs = Date.now() } = statSync(path, { throwIfNoEntry: false }) ?? {}
    if (Date.now() - mtimeMs > OLD_MS) rmSync(path, { recursive: true, force: true })
  }
}

const sourceHash = (): string => {
  const hash = createHash('sha256').update(readFileSync(join(ROOT, 'tsconfig.json')))
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
  const paths = files.filter((f) => f.isFile()).map((f) => join(f.parentPath, f.name))
  for (const path of paths.sort()) hash.update(path).update(readFileSync(path))
  return hash.digest('hex').slice(0, 12)
}
