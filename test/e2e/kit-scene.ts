import type { Test } from 'tap'
import { type ServiceProcess, startService, TEST_KEY } from '../helpers/server.js'
import { createRandom, type Random } from '../lanes/random.js'
import { compiledService } from './kit-build.js'
import { type Client, contractOf, createClient } from './kit-client.js'
import { type Ground, openAccount, openSql } from './kit-ground.js'
import { attempt, begin, type Call, type Load, startLoad } from './kit-load.js'
import { assertTrue } from './kit-oracle.js'

/** Of a whole test file, on a machine that has much else to do. */
export const TIMEOUT_MS = 115_000

/** Services under load that may be killed and started again. */
export type Scene = {
  readonly ground: Ground
  readonly random: Random
  /** The services now, by their place; null: killed. */
  readonly services: readonly (ServiceProcess | null)[]
  /** Where callers go, by place: a balancer may send them elsewhere. */
  readonly urls: string[]
  /** Starts the service of a place, again or for the first time; callers find it there. */
  start(place: number, env?: Record<string, string>): Promise<ServiceProcess>
  /** kill -9; callers that have its address get to feel it. */
  kill(place: number): Promise<void>
  /** Opens the accounts with some credits and begins. */
  load(options?: Partial<LoadOptions>): Promise<SceneLoad>
}

export type SceneLoad = Load & {
  /** Stops, asks again for what is unknown, and holds all of it against the model. */
  check(t: Test): Promise<void>
}

type LoadOptions = {
  /** Who asks; else the ground's own client. */
  readonly client?: Client
  readonly accounts: number
  readonly workers: number
  readonly pauseMs: number
  readonly timeoutMs: number
  readonly retries: number
}

const LOAD: LoadOptions = { accounts: 50, workers: 12, pauseMs: 10, timeoutMs: 12_000, retries: 0 }

export type SceneSetup = {
  readonly places: number
  readonly databaseUrl: () => string
  readonly env: Record<string, string>
}

export const openScene = async (t: Test, setup: SceneSetup): Promise<Scene> => {
  const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`seed ${seed} (TEST_SEED)`)
  const random = createRandom(seed)
  const services = Array.from({ length: setup.places }, (): ServiceProcess | null => null)
  const urls = services.map(() => '')
  const program = await compiledService()
  const start = async (place: number, env: Record<string, string> = {}) => {
    const service = await startService(t, { LOG_LEVEL: 'info', ...setup.env, ...env }, program)
    services[place] = service
    urls[place] = service.url
    return service
  }
  await Promise.all(services.map((_, place) => start(place)))
  const [first] = services
  if (!first) throw new Error('a scene needs a service')
  const client = createClient(() => urls, TEST_KEY, await contractOf(first))
  let database = openSql(setup.databaseUrl())
  t.teardown(async () => {
    client.close()
    await database.end()
  })
  const ground: Ground = {
    ...client,
    get services() {
      return services.filter((service) => service !== null)
    },
    key: TEST_KEY,
    sql: async (text, values) => {
      try {
        return await database.sql(text, values)
      } catch {
        // the database may have come back at another address
        await database.end()
        database = openSql(setup.databaseUrl())
        return database.sql(text, values)
      }
    },
    open: (accountId, credits = 0) => openAccount(client, accountId, credits),
    balanceOf: async (accountId) =>
      (await client.call('GET', `/v1/accounts/${accountId}/balance`)).body.balance,
  }
  return {
    ground,
    random,
    services,
    urls,
    start,
    async kill(place) {
      await services[place]?.kill9()
      services[place] = null
    },
    load: (options = {}) => beginLoad(ground, random, { ...LOAD, ...options }),
  }
}

const beginLoad = async (
  ground: Ground,
  random: Random,
  { accounts: count, ...options }: LoadOptions,
): Promise<SceneLoad> => {
  const run = random.between(0, 2 ** 31).toString(36)
  const accounts = Array.from({ length: count }, (_, i) => `load-${run}-${i}`)
  const opened = await Promise.all(accounts.map((id) => openWithCredits(ground, id)))
  const load = startLoad({ client: ground, random, accounts, ...options })
  return {
    ...load,
    async check(t) {
      await load.stop()
      await assertTrue(t, ground, { calls: [...opened, ...load.calls], accounts })
    },
  }
}

/** The first credits are a call like all others: its row must be somebody's too. */
const openWithCredits = async (ground: Ground, accountId: string): Promise<Call> => {
  await openAccount(ground, accountId, 0)
  const path = `/v1/accounts/${accountId}/grants`
  const call = begin({
    kind: 'grant',
    accountId,
    path,
    body: { amount: 150 },
    key: 'first',
    target: null,
  })
  await attempt(ground, call, 10_000)
  return call
}
