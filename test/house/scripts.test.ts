import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { copyCheckout, runScript } from '../helpers/checkout.js'
import { freshDatabase } from '../helpers/database.js'

const START_MS = 40_000

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })

const answers = (url: string): Promise<boolean> =>
  fetch(url).then(
    () => true,
    () => false,
  )

t.test('npm run dev serves, starts again when the code changes, and ends', async (t) => {
  const checkout = copyCheckout(t)
  const { url: DATABASE_URL } = await freshDatabase(t)
  const env = { DATABASE_URL, HOST: '127.0.0.1', PORT: '0' }
  const dev = runScript(t, checkout, ['dev'], env)
  const [, url = ''] = await dev.says(/ready[\s\S]*?(http:\/\/127\.0\.0\.1:\d+)/, START_MS)
  const health = await fetch(`${url}/health`)
  t.equal(health.status, 200)
  t.match(await health.json(), { status: 'ok' })
  t.notMatch(dev.output(), /^\{"level"/m, 'its log is made for people')

  appendFileSync(join(checkout, 'src', 'version.ts'), '\n// changed\n')
  const [, next = ''] = await dev.says(
    /ready[\s\S]*ready[\s\S]*?(http:\/\/127\.0\.0\.1:\d+)/,
    START_MS,
  )
  t.equal((await fetch(`${next}/health`)).status, 200)
  await dev.end('SIGINT')
  t.notOk(await answers(`${next}/health`), 'nothing is left running')
})

t.test('npm run db:studio listens for this machine only, and ends', async (t) => {
  const checkout = copyCheckout(t)
  const port = await freePort()
  // nothing configured: on the embedded database
  const studio = runScript(t, checkout, ['db:studio', '--', `--port=${port}`], {})
  await studio.says(/Drizzle Studio is up and running/, START_MS)
  t.ok(await answers(`http://127.0.0.1:${port}`))
  // what listens on all addresses answers on this one as well
  t.notOk(await answers(`http://127.0.0.2:${port}`), 'on no other address')
  const pidFile = join(checkout, 'data', 'postgres', 'data', 'postmaster.pid')
  t.ok(existsSync(pidFile))
  await studio.end('SIGTERM')
  t.notOk(await answers(`http://127.0.0.1:${port}`), 'nothing is left running')
  t.notOk(existsSync(pidFile), 'its database is not either')
})

t.test(
  'npm run db:generate finds nothing to do, until the tables in the code change',
  async (t) => {
    const checkout = copyCheckout(t)
    const generate = async () => {
      const run = runScript(t, checkout, ['db:generate', '--', '--name=more'], {})
      const code = await run.ended
      t.equal(code, 0, run.output())
      return run.output()
    }
    const files = () => readdirSync(join(checkout, 'migrations'), { recursive: true }).map(String)
    const before = files()
    t.match(await generate(), /No schema changes/)
    t.same(files(), before)
    const kit = join(checkout, 'node_modules', '.bin', 'drizzle-kit')
    const said = execFileSync(kit, ['check'], { cwd: checkout, encoding: 'utf8' })
    t.match(said, /Everything's fine/, 'its journal is true')

    const tables = join(checkout, 'src', 'admin', 'tables.ts')
    const text = readFileSync(tables, 'utf8')
    const first = /pgTable\(\s*'\w+',\s*\{/
    t.match(text, first)
    writeFileSync(
      tables,
      text.replace(first, (match) => `${match}\n  extra: text('extra'),`),
    )
    await generate()
    const added = files().filter((name) => !before.includes(name) && name.endsWith('.sql'))
    t.equal(added.length, 1)
    t.match(
      readFileSync(join(checkout, 'migrations', added[0] ?? ''), 'utf8'),
      /ADD COLUMN "extra"/,
    )
  },
)
