/**
 * Compiles src to dist when something changed since the last time, so that `npm start` right after
 * `npm ci` starts at once. Types are not checked here: that is `npm run check`, and `npm run build`.
 * Does nothing where there is nothing to compile with, as in the image's production install.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const stamp = join(root, 'dist', '.built')
const inputs = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json', 'src']

/** Directories count too: a file that was removed shows in its directory only. */
const newest = (path) => {
  const stats = statSync(path)
  const inside = stats.isDirectory()
    ? readdirSync(path).map((name) => newest(join(path, name)))
    : []
  return Math.max(stats.mtimeMs, ...inside)
}

if (existsSync(compiler) && existsSync(join(root, 'src'))) {
  const changedMs = Math.max(...inputs.map((name) => newest(join(root, name))))
  const builtMs = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changedMs >= builtMs) {
    const args = [compiler, '-p', join(root, 'tsconfig.build.json'), '--noCheck']
    const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' })
    if (status !== 0) process.exit(status ?? 1)
    mkdirSync(join(root, 'dist'), { recursive: true })
    writeFileSync(stamp, '')
  }
  // npm sees to that of what it installs, and of this package now and then only
  chmodSync(join(root, 'dist', 'cli.js'), 0o755)
}
