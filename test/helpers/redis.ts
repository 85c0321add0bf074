import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { TestContext } from './database.js'
import { findRedisServer } from './redis-binary.js'

export type RedisServer = {
  readonly port: number
  readonly url: string
  /** Runs one command on the server itself, whatever the service thinks of it. */
  command(name: string, ...args: (string | number)[]): Promise<unknown>
  /** Ends it at once; what it held is lost. */
  kill(): Promise<void>
  /** Starts it again on the same port, empty. */
  start(): Promise<void>
  /** Stops it from doing anything, with its connections open; and lets it go on. */
  pause(): void
  resume(): void
}

export type RedisCluster = { readonly url: string; readonly servers: readonly RedisServer[] }

const START_DEADLINE_MS = 10_000
const MASTERS = 3
const SLOTS = 16_384

/**
 * Runs a program for as long as somebody holds its standard input: it ends with the test, also
 * when the test is killed. Tells the program's own process id first.
 */
const KEEPER = '"$@" </dev/null >/dev/null 2>&1 & echo $!; read _; kill -9 $! 2>/dev/null; exit 0'

/** A Redis of the test's own, on a free port of the loopback; ended when the test ends. */
export const startRedis = async (
  t: Pick<TestContext, 'teardown'>,
  options: readonly string[] = [],
): Promise<RedisServer> => {
  const binary = await findRedisServer()
  const port = await freePort()
  const directory = mkdtempSync(join(tmpdir(), 'creditd-redis-'))
  const args = [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', directory],
    ...['--save', '', '--appendonly', 'no', '--protected-mode', 'no', ...options],
  ]
  let running: { keeper: ChildProcess; pid: number } | null = null
  const withClient = async <T>(act: (client: Redis) => Promise<T>): Promise<T> => {
    const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => null, protocol: 2 })
    client.on('error', () => {})
    try {
      return await act(client)
    } finally {
      client.disconnect()
    }
  }
  const start = async () => {
    const env = { ...process.env, ...binary.env }
    const keeper = spawn('sh', ['-c', KEEPER, 'sh', binary.path, ...args], {
      env,
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const pid = await new Promise<number>((resolve, reject) => {
      keeper.once('error', reject)
      keeper.stdout.once('data', (data: Buffer) => resolve(Number(data.toString())))
    })
    running = { keeper, pid }
    await until(() => withClient((client) => client.ping()).catch(unlessItAnswers))
  }
  const kill = async () => {
    if (running === null) return
    const { keeper } = running
    running = null
    const ended = new Promise((resolve) => keeper.once('exit', resolve))
    keeper.stdin?.end()
    await ended
  }
  const signal = (name: NodeJS.Signals) => {
    if (running !== null) process.kill(running.pid, name)
  }
  t.teardown(async () => {
    await kill()
    rmSync(directory, { recursive: true, force: true })
  })
  await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    command: (name, ...rest) => withClient((client) => client.call(name, ...rest)),
    kill,
    start,
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
  }
}

/** Whoever asks for a password is there. */
const unlessItAnswers = (error: Error): void => {
  if (!error.message.startsWith('NOAUTH')) throw error
}

/** A cluster of three masters without replicas. */
export const startRedisCluster = async (t: TestContext): Promise<RedisCluster> => {
  const servers = await Promise.all(
    Array.from({ length: MASTERS }, async () => {
      const busPort = await freePort()
      return { busPort, server: await startRedis(t, clusterOptions(busPort)) }
    }),
  )
  const [first, ...others] = servers
  if (first === undefined) throw new Error('a cluster has a first server')
  for (const [index, { server }] of servers.entries()) {
    const from = Math.floor((index * SLOTS) / MASTERS)
    const to = Math.floor(((index + 1) * SLOTS) / MASTERS) - 1
    await server.command('cluster', 'addslotsrange', from, to)
    await server.command('cluster', 'set-config-epoch', index + 1)
  }
  for (const { server, busPort } of others) {
    await first.server.command('cluster', 'meet', '127.0.0.1', server.port, busPort)
  }
  for (const { server } of servers) {
    await until(async () => {
      const info = String(await server.command('cluster', 'info'))
      const isWhole = /cluster_state:ok/.test(info) && /cluster_known_nodes:3/.test(info)
      if (!isWhole) throw new Error('the cluster is not whole yet')
    })
  }
  const hosts = servers.map(({ server }) => `127.0.0.1:${server.port}`)
  return { url: `redis://${hosts.join(',')}`, servers: servers.map(({ server }) => server) }
}

const clusterOptions = (busPort: number): readonly string[] => [
  ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort)],
  ...['--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '1000'],
]

/** Tries again until it goes well. */
export const until = async <T>(
  act: () => Promise<T>,
  timeoutMs = START_DEADLINE_MS,
): Promise<T> => {
  const deadlineMs = Date.now() + timeoutMs
  for (;;) {
    try {
      return await act()
    } catch (error) {
      if (Date.now() > deadlineMs) throw error
      await sleep(20)
    }
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
