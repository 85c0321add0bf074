/** Programs of Debian and its kin, unpacked beside the system and not installed into it. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'

const DOWNLOAD_TIMEOUT_MS = 120_000

/** Downloads packages and unpacks them into a folder, all or nothing. Throws where apt is not. */
export function unpackDebian(packages: readonly string[], folder: string): void {
  const draft = `${folder}.${process.pid}`
  mkdirSync(draft, { recursive: true })
  const options = { cwd: draft, stdio: 'ignore', timeout: DOWNLOAD_TIMEOUT_MS } as const
  try {
    execFileSync('apt-get', ['download', ...packages], options)
    for (const archive of readdirSync(draft).filter((name) => name.endsWith('.deb'))) {
      execFileSync('dpkg-deb', ['-x', archive, '.'], options)
      rmSync(join(draft, archive))
    }
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(dirname(folder), { recursive: true })
    renameSync(draft, folder)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

/** The packages of the shared libraries that a program lacks, by Debian's rule for their names. */
export function missingPackages(program: string, env: NodeJS.ProcessEnv): readonly string[] {
  const text = execFileSync('ldd', [program], { env: { ...process.env, ...env }, encoding: 'utf8' })
  return [...text.matchAll(/^\s*(lib[\w.+-]+)\.so\.(\d+)\S* => not found$/gm)].map(
    ([, name = '', version = '']) => {
      const plain = name.toLowerCase().replaceAll('_', '-')
      return /\d$/.test(plain) ? `${plain}-${version}` : `${plain}${version}`
    },
  )
}

/** The folders of shared libraries in what was unpacked. */
export function libraryFolders(folder: string): readonly string[] {
  return ['lib', 'usr/lib']
    .map((name) => join(folder, name))
    .filter(existsSync)
    .flatMap((root) => [
      root,
      ...readdirSync(root)
        .filter((name) => /-linux-gnu/.test(name))
        .map((name) => join(root, name)),
    ])
}
