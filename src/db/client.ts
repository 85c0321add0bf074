import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import pg from 'pg'
import { READ_ONLY_STATE } from './errors.js'
import { DatabaseSetupError } from './setup-error.js'
import { type DatabaseUrl, SUPPORTED } from './url.js'

const MIN_SERVER_VERSION = 15

type TlsSetting = ConnectionOptions | false

/** One way to reach the database: a host, with or without encryption. */
export type Endpoint = {
  readonly host: string
  readonly port: number
  readonly tls: TlsSetting
}

/** The endpoint in use, shared by all connections of a pool. */
export type EndpointRing = {
  readonly size: number
  current(): Endpoint
  /** Goes on to the next endpoint, unless another connection has already done so. */
  giveUp(endpoint: Endpoint): void
}

export const createEndpointRing = (endpoints: readonly Endpoint[]): EndpointRing => {
  let index = 0
  const current = () => {
    const endpoint = endpoints[index % endpoints.length]
    if (!endpoint) throw new DatabaseSetupError('DATABASE_URL names no host')
    return endpoint
  }
  return {
    size: endpoints.length,
    current,
    giveUp: (endpoint) => {
      if (endpoint === current()) index = (index + 1) % endpoints.length
    },
  }
}

/** Every host in the URL's order; `prefer` means each with TLS first and then without. */
export const endpointsOf = (url: DatabaseUrl): readonly Endpoint[] =>
  url.hosts.flatMap(({ host, port }): Endpoint[] => {
    const tls = host.startsWith('/') ? false : tlsSettingOf(url, host)
    if (tls === false) return [{ host, port, tls }]
    if (url.tlsMode !== 'prefer') return [{ host, port, tls }]
    return [
      { host, port, tls },
      { host, port, tls: false },
    ]
  })

/**
 * A pg.Client that connects to the ring's present endpoint, and refuses a standby and a server that
 * is not PostgreSQL 15 or newer. It knows both from what the server reports anyway: no round trip.
 */
export const createClientClass = (ring: EndpointRing, connectTimeoutMs: number) =>
  class extends pg.Client {
    readonly #endpoint: Endpoint
    readonly #reported = new Map<string, string>()

    constructor(config: pg.ClientConfig = {}) {
      const endpoint = ring.current()
      super({
        ...config,
        // the pool hides it from being copied along
        password: config.password,
        host: endpoint.host,
        port: endpoint.port,
        ssl: endpoint.tls,
        connectionTimeoutMillis: connectTimeoutMs,
      })
      this.#endpoint = endpoint
      const connection = (this as unknown as { connection: ParameterSource }).connection
      connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
        this.#reported.set(parameterName, parameterValue)
      })
    }

    override connect(): Promise<pg.Client>
    override connect(callback: ConnectCallback): void
    override connect(callback?: ConnectCallback): Promise<pg.Client> | undefined {
      if (!callback) {
        return new Promise((resolve, reject) => {
          this.connect((error) => (error ? reject(error) : resolve(this)))
        })
      }
      super.connect((error: Error | null) => {
        const refusal = error ?? refusalOf(this.#reported)
        if (!refusal) return callback(null, this)
        ring.giveUp(this.#endpoint)
        if (error) return callback(error)
        this.end(() => callback(refusal))
      })
      return undefined
    }
  }

type ConnectCallback = (error: Error | null, client?: pg.Client) => void

type ParameterSource = {
  on(
    event: 'parameterStatus',
    listener: (message: { parameterName: string; parameterValue: string }) => void,
  ): void
}

/** Why this server can not be used, from the parameters it reported; null when it can. */
export const refusalOf = (reported: ReadonlyMap<string, string>): Error | null => {
  const version = reported.get('server_version') ?? ''
  if (reported.has('crdb_version') || !/^\d+/.test(version)) {
    return new DatabaseSetupError(`the server of DATABASE_URL is not PostgreSQL; ${SUPPORTED}`)
  }
  if (Number.parseInt(version, 10) < MIN_SERVER_VERSION) {
    return new DatabaseSetupError(
      `the server of DATABASE_URL is version ${version.slice(0, 40)}; ${SUPPORTED}`,
    )
  }
  if (reported.get('in_hot_standby') !== 'on') return null
  return Object.assign(new Error('the server is a standby and accepts no writes'), {
    code: READ_ONLY_STATE,
    severity: 'FATAL',
  })
}

const tlsSettingOf = (url: DatabaseUrl, host: string): TlsSetting => {
  if (url.tlsMode === 'disable') return false
  const { ca, cert, key } = url.tlsFiles
  const files = {
    ...(ca !== null && ca !== 'system' && { ca: readTlsFile(ca, 'sslrootcert') }),
    ...(cert !== null && { cert: readTlsFile(cert, 'sslcert') }),
    ...(key !== null && { key: readTlsFile(key, 'sslkey') }),
  }
  if (url.tlsMode === 'verify-full') return { ...files, servername: host }
  if (url.tlsMode === 'verify-ca') return { ...files, checkServerIdentity: () => undefined }
  return { ...files, rejectUnauthorized: false }
}

const readTlsFile = (path: string, parameter: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new DatabaseSetupError(
      `DATABASE_URL: the file of ${parameter}, ${path}, can not be read`,
      error,
    )
  }
}
