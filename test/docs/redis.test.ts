import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../helpers/cluster.js'
import { startRedis } from '../helpers/redis.js'
import { temporaryDirectory } from '../helpers/server.js'

/* What the README shows of `redis:check` in its three states is what it prints. */

const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const shown = [...README.matchAll(/^```\n\$ npx creditd redis:check\n(.*?)^```/gms)].map(
  ([, output = '']) => output,
)

type Ended = { readonly code: number; readonly output: string }

/** The command as `npx creditd` runs it, from its sources, with this environment and no other. */
const check = (directory: string, env: Record<string, string>): Promise<Ended> =>
  new Promise((resolve) => {
    const args = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts'), 'redis:check']
    const options = { cwd: directory, env: { PATH: process.env.PATH, ...env } }
    execFile(process.execPath, args, options, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, output: out + err }),
    )
  })

/** Times and sizes differ from run to run. */
const alike = (output: string): string => output.replace(/\d+\.\d+/g, '0.0').trim()

t.test('the README shows what redis:check says in each state', async (t) => {
  const { url } = await startRedis(t)
  const { url: locked } = await startRedis(t, ['--requirepass', 'right'])
  const wrong = locked.replace('127.0.0.1', ':wrong@127.0.0.1')
  const states: [name: string, env: Record<string, string>, code: number][] = [
    ['well', { REDIS_URL: url, NODE_ENV: 'local' }, 0],
    ['a wrong password', { REDIS_URL: url, REDIS_SESSION_URL: wrong, NODE_ENV: 'local' }, 1],
    ['nothing configured', {}, 1],
  ]
  t.equal(shown.length, states.length)
  for (const [index, [name, env, code]] of states.entries()) {
    const ended = await check(temporaryDirectory(t), env)
    t.equal(ended.code, code, name)
    t.equal(alike(ended.output), alike(shown[index] ?? ''), name)
  }
})
