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
  const place = join(tmpdir(), `creditd-e2e-build-${userInfo().uid}-${sourceHash()}`)
  if (!existsSync(place)) await build(place)
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

const sourceHash = (): string => {
  const hash = createHash('sha256').update(readFileSync(join(ROOT, 'tsconfig.json')))
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
  const paths = files.filter((f) => f.isFile()).map((f) => join(f.parentPath, f.name))
  for (const path of paths.sort()) hash.update(path).update(readFileSync(path))
  return hash.digest('hex').slice(0, 12)
}
