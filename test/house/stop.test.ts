import { Agent, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import pg from 'pg'
import t from 'tap'
import { emptyDatabase, freshDatabase, type TestContext } from '../helpers/database.js'
import { type ServiceProcess, startService } from '../helpers/server.js'

const CALLERS = 16

/** Charges by each caller after which the load counts as under way, its connections open. */
const WARM_CHARGES = 3

const start = async (t: TestContext, env: Record<string, string> = {}) => {
  const { url } = await freshDatabase(t)
  const service = await startService(t, { DATABASE_URL: url, ...env })
  return { service, url }
}

/** Nobody took the call: also when it was still in the queue of a listener that was closed. */
const isRefusedConnection = (error: unknown): boolean => {
  const { code, syscall } = (error as { cause?: { code?: string; syscall?: string } }).cause ?? {}
  return code === 'ECONNREFUSED' || (code === 'ECONNRESET' && syscall === 'connect')
}

type Seen = { charged: number; unexpected: string[] }

/** Charges one after the other until the door is shut; counts what was answered, and how. */
const chargeUntilShut = async (service: ServiceProcess, account: string, seen: Seen) => {
  for (;;) {
    try {
      const response = await service.call('POST', `/v1/accounts/${account}/charges`, { amount: 1 })
      await response.arrayBuffer()
      if (response.status === 201) seen.charged += 1
      else seen.unexpected.push(`status ${response.status}`)
    } catch (error) {
      if (!isRefusedConnection(error)) seen.unexpected.push(String((error as Error).cause ?? error))
      return
    }
  }
}

t.test('SIGTERM under load drops no request and loses no charge', async (t) => {
  const { service, url } = await start(t)
  for (let i = 0; i < CALLERS; i += 1) {
    await service.call('PUT', `/v1/accounts/a${i}`, {})
    await service.call('POST', `/v1/accounts/a${i}/grants`, { amount: 1_000_000 })
  }
  const seen = Array.from({ length: CALLERS }, (): Seen => ({ charged: 0, unexpected: [] }))
  const callers = seen.map((counts, i) => chargeUntilShut(service, `a${i}`, counts))
  while (seen.some(({ charged }) => charged < WARM_CHARGES)) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(await service.stop(), 0)
  await Promise.all(callers)
  t.same(
    seen.flatMap(({ unexpected }) => unexpected),
    [],
    'every request was answered, or its connection refused',
  )
  const charged = seen.reduce((sum, caller) => sum + caller.charged, 0)
  t.ok(charged > CALLERS, `${charged} charges`)
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query(
    `select count(*)::int as count from transactions where type = 'charge'`,
  )
  await client.end()
  t.same(rows, [{ count: charged }], 'as many rows as acknowledged charges')
})

t.test('a request in hand is finished, however long it still takes', async (t) => {
  const { service, url } = await start(t)
  await service.call('PUT', '/v1/accounts/ann', {})
  await service.call('POST', '/v1/accounts/ann/grants', { amount: 10 })
  const outside = new pg.Client(url)
  await outside.connect()
  await outside.query('begin')
  await outside.query(`select from accounts where id = 'ann' for update`)
  const charge = service.call('POST', '/v1/accounts/ann/charges', { amount: 1 })
  await untilActive(service)
  const stopped = service.stop()
  await untilLogged(service, 'stopping')
  await outside.query('rollback')
  await outside.end()
  t.equal((await charge).status, 201)
  t.equal(await stopped, 0)
})

t.test('while it still serves, it is no longer ready', async (t) => {
  const { service } = await start(t, { SHUTDOWN_DELAY_MS: '2000' })
  t.equal((await service.call('GET', '/health/ready')).status, 200)
  const stopped = service.stop()
  await untilLogged(service, 'stopping')
  t.equal((await service.call('GET', '/health/ready')).status, 503)
  t.equal((await service.call('PUT', '/v1/accounts/ann', {})).status, 201, 'work is still done')
  t.equal(await stopped, 0)
})

t.test('a connection kept open hears that it ends, and its request is answered', async (t) => {
  const { service } = await start(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.equal((await get(`${service.url}/health`, agent)).headers.connection, 'keep-alive')
  const stopped = service.stop()
  await untilLogged(service, 'stopping')
  await untilShut(service)
  const last = await get(`${service.url}/health`, agent)
  t.equal(last.statusCode, 200)
  t.equal(last.headers.connection, 'close')
  t.equal(await stopped, 0)
})

t.test('connections that were opened and never used do not keep it from stopping', async (t) => {
  const { service } = await start(t)
  const { hostname, port } = new URL(service.url)
  const sockets = await Promise.all(
    [1, 2, 3].map(
      () =>
        new Promise<ReturnType<typeof connect>>((resolve) => {
          const socket = connect(Number(port), hostname, () => resolve(socket))
          socket.on('error', () => {})
        }),
    ),
  )
  const startedMs = performance.now()
  t.equal(await service.stop(), 0)
  t.ok(performance.now() - startedMs < 10_000, 'far below the time-out of the stop')
  for (const socket of sockets) socket.destroy()
})

t.test('a stop that hangs is cut short, and says so by its exit code', async (t) => {
  const { service, url } = await start(t, {
    SHUTDOWN_TIMEOUT_MS: '500',
    REQUEST_TIMEOUT_MS: '60000',
  })
  await service.call('PUT', '/v1/accounts/ann', {})
  await service.call('POST', '/v1/accounts/ann/grants', { amount: 10 })
  const outside = new pg.Client(url)
  await outside.connect()
  await outside.query('begin')
  await outside.query(`select from accounts where id = 'ann' for update`)
  const charge = service.call('POST', '/v1/accounts/ann/charges', { amount: 1 }).catch(() => null)
  await untilActive(service)
  t.equal(await service.stop(), 1)
  await outside.end()
  await charge
})

t.test('a signal while the start waits for its database ends it at once', async (t) => {
  const { url } = await freshDatabase(t)
  const { launchService } = await import('../helpers/server.js')
  const away = new URL(url)
  away.port = '1'
  const launched = launchService(t, { DATABASE_URL: String(away), DATABASE_WAIT_MS: '60000' })
  await new Promise<void>((resolve) => {
    launched.child.stdout?.on('data', () => {
      if (launched.output().includes('waiting for the database')) resolve()
    })
  })
  launched.child.kill('SIGTERM')
  const startMs = performance.now()
  t.equal(await launched.ended, 1)
  t.ok(performance.now() - startMs < 10_000, 'long before it would have given up')
  t.notMatch(launched.output(), '"msg":"ready"')
})

t.test('a HOST that is not of this machine is named in one line', async (t) => {
  const { url } = await freshDatabase(t)
  const { launchService } = await import('../helpers/server.js')
  const launched = launchService(t, { DATABASE_URL: url, HOST: '192.0.2.77' })
  t.equal(await launched.ended, 1)
  t.match(launched.output(), 'creditd: HOST 192.0.2.77 is not an address of this machine\n')
})

t.test('MIGRATE_ON_START=false on an old database says what to run', async (t) => {
  const { url } = await emptyDatabase(t)
  const { launchService } = await import('../helpers/server.js')
  const launched = launchService(t, { DATABASE_URL: url, MIGRATE_ON_START: 'false' })
  t.equal(await launched.ended, 1)
  t.match(launched.output(), /creditd: the database lacks \d+ migrations: run "npx creditd/)
})

/** Until the service has an operation in hand. */
const untilActive = async (service: ServiceProcess): Promise<void> => {
  for (;;) {
    const text = await (await service.call('GET', '/metrics')).text()
    const count = /^creditd_ledger_operations_in_flight (\d+)/m.exec(text)?.[1]
    if (Number(count) > 0) return
  }
}

const untilLogged = async (service: ServiceProcess, message: string): Promise<void> => {
  while (!service.log().some(({ msg }) => msg === message)) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Until new connections are refused. */
const untilShut = async ({ url }: ServiceProcess): Promise<void> => {
  const { hostname, port } = new URL(url)
  const isOpen = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
  while (await isOpen()) await new Promise((resolve) => setImmediate(resolve))
}

const get = (url: string, agent: Agent): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const sent = request(url, { agent }, (response) => {
      response.resume().once('end', () => resolve(response))
    })
    sent.once('error', reject).end()
  })
