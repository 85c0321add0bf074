import { execFile, execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { SETTINGS } from '../../src/settings.js'
import { compiledService } from '../e2e/kit-build.js'
import { ROOT } from '../helpers/cluster.js'
import { freshDatabase } from '../helpers/database.js'
import { startService, temporaryDirectory } from '../helpers/server.js'

/*
 * There need not be a container engine where the tests run: the files are read as an engine reads
 * them, and what the image would hold is put together and started by its own command.
 */

const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8')
const KNOWN = Object.keys(SETTINGS)
const SECRET = /PASSWORD|SECRET|TOKEN|_KEY$/
const PATHS = Object.keys(parse(read('openapi.yaml')).paths)
const PACKAGE = JSON.parse(read('package.json'))

type Instruction = { readonly name: string; readonly rest: string }
type Stage = { readonly base: string; readonly name: string; readonly steps: Instruction[] }

/** The stages of the Dockerfile; continued lines are joined, comments dropped. */
const readStages = (text: string): Stage[] => {
  const stages: Stage[] = []
  const lines = text.replace(/^\s*#.*\n/gm, '').replace(/\\\n\s*/g, '')
  for (const [, name = '', rest = ''] of lines.matchAll(/^([A-Z]+) +(.+)$/gm)) {
    if (name === 'FROM') {
      const [base = '', , as = ''] = rest.split(/ +/)
      stages.push({ base, name: as, steps: [] })
    } else stages.at(-1)?.steps.push({ name, rest })
  }
  return stages
}

const stages = readStages(read('Dockerfile'))
const last = stages.at(-1)

/** The one instruction of this name in the last stage. */
const finalStep = (name: string): string => {
  const found = last?.steps.filter((step) => step.name === name) ?? []
  if (found.length !== 1) throw new Error(`${found.length} times ${name}`)
  return found[0]?.rest ?? ''
}

const copies = ({ steps }: Stage) =>
  steps
    .filter(({ name }) => name === 'COPY')
    .map(({ rest }) => {
      const words = rest.split(/ +/)
      const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length)
      const paths = words.filter((word) => !word.startsWith('--'))
      return { from, sources: paths.slice(0, -1), target: paths.at(-1) ?? '' }
    })

/** The paths of the checkout that a source of COPY names. */
const pathsOf = (source: string): string[] =>
  source.endsWith('*')
    ? readdirSync(ROOT).filter((name) => name.startsWith(source.slice(0, -1)))
    : [source].filter((path) => existsSync(join(ROOT, path)))

/** Whether the build context holds a path: the last line of .dockerignore that fits decides. */
const isInContext = (path: string): boolean => {
  const rules = read('.dockerignore').split('\n').filter(Boolean)
  const parents = path.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/'))
  let isIn = true
  for (const rule of rules) {
    const isKept = rule.startsWith('!')
    const pattern = rule.slice(isKept ? 1 : 0).replace(/[.]/g, '\\.')
    const fits = new RegExp(`^${pattern.replaceAll('*', '[^/]*')}$`)
    if (parents.some((parent) => fits.test(parent))) isIn = isKept
  }
  return isIn
}

t.test('the image is built in stages, and runs as nobody special', async (t) => {
  t.ok(stages.length >= 2)
  for (const { base, name } of stages) {
    const own = stages.find((stage) => stage.name === base)
    t.ok(own || /^node:\d+-[\w-]+$/.test(base), `${name || 'a stage'} begins with ${base}`)
  }
  const [wanted = 0] = (PACKAGE.engines.node as string).match(/\d+/)?.map(Number) ?? []
  const major = Number(/^node:(\d+)/.exec(stages[0]?.base ?? '')?.[1])
  t.ok(major >= wanted && major % 2 === 0, `node ${major} is a long-term one, as engines allows`)
  const names = last?.steps.map(({ name }) => name) ?? []
  t.ok(!['root', '0', ''].includes(finalStep('USER').split(':')[0] ?? ''))
  t.ok(names.indexOf('USER') > names.lastIndexOf('RUN'), 'what was set up as root stays as it is')
  t.match(last?.steps.filter(({ name }) => name === 'RUN').at(-1)?.rest, /chown node:node \/data/)
  t.equal(finalStep('VOLUME'), '/data')
})

t.test('what the image copies is there, and in the build context', async (t) => {
  for (const stage of stages) {
    for (const { from, sources } of copies(stage)) {
      const own = stages.find(({ name }) => name === from)
      if (from !== undefined) t.ok(own, `a stage ${from}`)
      for (const source of from === undefined ? sources : []) {
        const found = pathsOf(source)
        t.ok(found.length > 0, `${stage.name}: ${source}`)
        for (const path of found) t.ok(isInContext(path), `${path} is in the context`)
      }
    }
  }
  for (const path of ['.env', '.git', 'node_modules', 'data', 'dist', 'test', 'coverage']) {
    t.notOk(isInContext(path), `${path} is not in the context`)
  }
})

const settingsOf = (rest: string): Record<string, string> =>
  Object.fromEntries(
    rest.split(/ +/).map((pair) => [pair.split('=')[0] ?? '', pair.split('=')[1] ?? '']),
  )

t.test('the image bakes in no secret, and only settings that there are', async (t) => {
  for (const { steps } of stages) {
    for (const { rest } of steps.filter(({ name }) => /^(ENV|ARG)$/.test(name))) {
      for (const name of Object.keys(settingsOf(rest))) {
        t.ok(KNOWN.includes(name), name)
        t.notMatch(name, SECRET)
      }
    }
  }
  t.equal(settingsOf(finalStep('ENV')).DATA_DIR, finalStep('VOLUME'))
  t.equal(settingsOf(finalStep('ENV')).PORT, finalStep('EXPOSE'))
})

/** The package and all it needs, as `npm ci --omit=dev` leaves them; no file is copied. */
const installProduction = (app: string): void => {
  const lock = JSON.parse(read('package-lock.json')).packages as Record<string, { dev?: boolean }>
  for (const [path, { dev }] of Object.entries(lock)) {
    const isOwn = path !== '' && dev !== true && !/node_modules\/.*node_modules\//.test(path)
    if (!isOwn || !existsSync(join(ROOT, path))) continue
    mkdirSync(dirname(join(app, path)), { recursive: true })
    symlinkSync(join(ROOT, path), join(app, path))
  }
}

/** What the last stage holds, in a directory instead of an image. */
const assemble = async (t: Test): Promise<string> => {
  const app = realpathSync(temporaryDirectory(t))
  const built = dirname(dirname((await compiledService()).at(-1) ?? ''))
  for (const { from, sources } of last ? copies(last) : []) {
    for (const source of sources.map((path) => path.replace(/^\/app\//, ''))) {
      if (source === 'node_modules') installProduction(app)
      else if (from === 'build') cpSync(join(built, source), join(app, source), { recursive: true })
      else {
        for (const path of pathsOf(source)) {
          cpSync(join(ROOT, path), join(app, path), { recursive: true })
        }
      }
    }
  }
  return app
}

// links stand for copies: nothing beside what was linked may be found
const AS_COPIES = ['--preserve-symlinks', '--preserve-symlinks-main']

const command = (text: string): string[] => JSON.parse(text.replace(/^.*?CMD +/, ''))

t.test('the image starts by its command with what it holds, and knows its health', async (t) => {
  const app = await assemble(t)
  t.notOk(existsSync(join(app, 'node_modules', 'typescript')), 'no development tools')
  const { url } = await freshDatabase(t)
  const [node, ...args] = command(finalStep('CMD'))
  t.equal(node, 'node', 'signals go to the service itself')
  const program = args.map((arg) => (arg.startsWith('--') ? arg : join(app, arg)))
  const { NODE_ENV = '' } = settingsOf(finalStep('ENV'))
  t.equal(NODE_ENV, 'production')
  const env = { NODE_ENV, DATABASE_URL: url }
  const service = await startService(t, env, [...AS_COPIES, ...program])
  t.equal((await service.call('GET', '/health/ready')).status, 200)

  const [, ...healthArgs] = command(finalStep('HEALTHCHECK'))
  const check = () =>
    promisify(execFile)(process.execPath, healthArgs, {
      env: { PATH: process.env.PATH, PORT: new URL(service.url).port },
    })
  await t.resolves(check(), 'healthy')
  const path = /127\.0\.0\.1:[^/]*(\/[\w/]+)/.exec(finalStep('HEALTHCHECK'))?.[1] ?? ''
  t.ok(PATHS.includes(path), `${path} is a path of the API`)

  // docker compose exec app creditd keys create --name first
  const cli = join(app, 'dist', 'cli.js')
  t.match(finalStep('RUN'), /ln -s \/app\/dist\/cli\.js \/usr\/local\/bin\/creditd/)
  t.match(readFileSync(cli, 'utf8'), /^#!\/usr\/bin\/env node\n/)
  const keys = [...AS_COPIES, cli, 'keys', 'create', '--name', 'first']
  const { stdout } = await promisify(execFile)(process.execPath, keys, {
    cwd: app,
    env: { PATH: process.env.PATH, ...env },
  })
  t.match(stdout, /ck_live_[\w-]{43}/)
  t.equal(await service.stop(), 0)
  await t.rejects(check(), { code: 1 }, 'not healthy any more')
})

t.test('installing in a stage without sources compiles nothing and does not fail', async (t) => {
  const [dependencies] = stages.filter(({ steps }) =>
    steps.some(({ rest }) => /npm ci --omit=dev/.test(rest)),
  )
  const app = temporaryDirectory(t)
  for (const { sources, target } of dependencies ? copies(dependencies) : []) {
    for (const source of sources) {
      const name = source.split('/').at(-1) ?? ''
      cpSync(join(ROOT, source), join(app, target, name))
    }
  }
  const script = (PACKAGE.scripts.prepare as string).replace(/^node /, '')
  t.ok(statSync(join(app, script)).isFile(), `${script} is there for npm to run`)
  execFileSync(process.execPath, [script], { cwd: app })
  t.notOk(existsSync(join(app, 'dist')))
})

type Service = {
  readonly image?: string
  readonly build?: string
  readonly ports?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly string[]
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly stop_grace_period?: string
}

const compose = parse(read('docker-compose.yml')) as {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

/** Where an image keeps what must outlive its container. */
const DATA: Record<string, string> = {
  postgres: '/var/lib/postgresql/data',
  redis: '/data',
}
const STOP_MS = SETTINGS.SHUTDOWN_TIMEOUT_MS.schema.parse(undefined)

t.test('compose starts the app with PostgreSQL and Redis, both kept and checked', async (t) => {
  const { app, postgres, redis, ...others } = compose.services
  t.same(Object.keys(others), [])
  t.equal(app?.build, '.')
  for (const name of Object.keys(app?.environment ?? {})) t.ok(KNOWN.includes(name), name)
  t.match(app?.environment?.DATABASE_URL, /@postgres:5432\/creditd$/)
  t.ok(Number.parseInt(app?.stop_grace_period ?? '0', 10) * 1000 > STOP_MS, 'a stop has its time')
  t.equal(app?.depends_on?.postgres?.condition, 'service_healthy')
  t.ok(app?.ports?.every((port) => port.startsWith('127.0.0.1:') && port.endsWith(':3000')))
  for (const [name, service] of Object.entries({ postgres, redis })) {
    t.ok(service?.healthcheck, `${name} is checked`)
    t.notOk(service?.ports, `${name} is reached from inside only`)
    const [volume = '', path] = service?.volumes?.[0]?.split(':') ?? []
    t.ok(volume in compose.volumes, `${name} keeps its data in a volume`)
    t.equal(path, DATA[name])
  }
  const major = Number(/^postgres:(\d+)-/.exec(postgres?.image ?? '')?.[1])
  // later images keep their data elsewhere
  t.ok(major >= 15 && major <= 17, `PostgreSQL ${major}`)
  t.match(redis?.image, /^redis:\d+-/)
})

t.test('compose holds no secret of its own but that of a database nobody else reaches', (t) => {
  for (const [name, { environment = {}, ports }] of Object.entries(compose.services)) {
    for (const [variable, value] of Object.entries(environment)) {
      const isSecret = SECRET.test(variable)
      if (isSecret) t.match(value, /^\$\{[A-Z_]+:-\w*\}$/, `${name}: ${variable} can be set`)
      if (isSecret && ports) t.match(value, /:-\}$/, `${name}: ${variable} has no default`)
    }
  }
  const inUrl = /:(\$\{.*?\})@/.exec(compose.services.app?.environment?.DATABASE_URL ?? '')?.[1]
  t.equal(inUrl, compose.services.postgres?.environment?.POSTGRES_PASSWORD, 'both have the same')
  t.end()
})

/** Of https://docs.railway.com/config-as-code/reference; seconds are numbers there. */
const RAILWAY: Record<string, Record<string, RegExp>> = {
  build: { builder: /^(RAILPACK|DOCKERFILE)$/, dockerfilePath: /./ },
  deploy: {
    startCommand: /./,
    preDeployCommand: /./,
    healthcheckPath: /^\//,
    healthcheckTimeout: /^\d+$/,
    restartPolicyType: /^(ON_FAILURE|ALWAYS|NEVER)$/,
    restartPolicyMaxRetries: /^\d+$/,
    overlapSeconds: /^\d+$/,
    drainingSeconds: /^\d+$/,
  },
}

t.test('railway.json builds the image and waits for it to be ready', async (t) => {
  const { $schema, ...parts } = JSON.parse(read('railway.json'))
  t.equal($schema, 'https://railway.com/railway.schema.json')
  for (const [part, fields] of Object.entries<Record<string, unknown>>(parts)) {
    for (const [name, value] of Object.entries(fields)) {
      t.match(String(value), RAILWAY[part]?.[name] ?? /^no such field$/, `${part}.${name}`)
      const isNumber = /Seconds|Timeout|Retries/.test(name)
      t.equal(typeof value, isNumber ? 'number' : 'string', `${part}.${name}`)
    }
  }
  t.equal(parts.build.builder, 'DOCKERFILE')
  t.ok(existsSync(join(ROOT, parts.build.dockerfilePath)))
  t.ok(PATHS.includes(parts.deploy.healthcheckPath), parts.deploy.healthcheckPath)
  t.equal(parts.deploy.startCommand, undefined, 'the command of the image is the one')
  t.ok(parts.deploy.drainingSeconds * 1000 > STOP_MS, 'a stop has its time')
})
