import { DatabaseSetupError } from './setup-error.js'

export const SUPPORTED =
  'supported are PostgreSQL 15 or newer (postgres://user:password@host:5432/database) ' +
  'and, with DATABASE_URL unset, the embedded PostgreSQL'

/** libpq's words, with its meaning: `require` encrypts, only `verify-*` authenticate the server. */
export type TlsMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

export type DatabaseHost = { readonly host: string; readonly port: number }

export type DatabaseUrl = {
  readonly hosts: readonly DatabaseHost[]
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly schema: string | null
  readonly tlsMode: TlsMode
  readonly tlsFiles: Readonly<Record<'ca' | 'cert' | 'key', string | null>>
  readonly poolSize: number | null
  readonly poolTimeoutMs: number | null
  readonly connectTimeoutMs: number | null
  readonly applicationName: string | null
  /** Parameters that mean nothing here, to be named in the log. */
  readonly ignored: readonly string[]
}

const KNOWN = new Set([
  'schema',
  'sslmode',
  'ssl',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'connection_limit',
  'pool_timeout',
  'connect_timeout',
  'application_name',
  'host',
  'port',
  'target_session_attrs',
])

/** More hosts than this is a mistake, and each costs a connection attempt when all are down. */
const MAX_HOSTS = 16

/** Takes a PostgreSQL URL apart; throws DatabaseSetupError that never repeats the password. */
export const parseDatabaseUrl = (text: string): DatabaseUrl => {
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(
    text.trim(),
  )
  if (!match) throw invalid(`it is not a URL; ${SUPPORTED}`)
  const [, scheme = '', authority = '', path = '', query = ''] = match
  if (!/^postgres(ql)?$/i.test(scheme)) {
    throw invalid(`the scheme "${scheme}:" is not supported; ${SUPPORTED}`)
  }
  // what follows the slash of an unencoded password would be taken for a host and a database
  if (path.includes('@')) throw invalid('percent-encode / @ : ? # in the user and the password')
  const params = new URLSearchParams(query)
  const at = authority.lastIndexOf('@')
  const [user, password] = at < 0 ? [] : splitOnce(authority.slice(0, at), ':')
  checkSessionAttributes(params)
  return {
    hosts: parseHosts(authority.slice(at + 1), params),
    user: decode(user),
    password: decode(password),
    database: decode(path || undefined),
    schema: checkSchemaName(params.get('schema'), 'schema= in DATABASE_URL'),
    tlsMode: parseTlsMode(params, authority.slice(at + 1)),
    tlsFiles: {
      ca: params.get('sslrootcert'),
      cert: params.get('sslcert'),
      key: params.get('sslkey'),
    },
    poolSize: parseCount(params, 'connection_limit', 1),
    poolTimeoutMs: parseCount(params, 'pool_timeout', 1000),
    connectTimeoutMs: parseCount(params, 'connect_timeout', 1000),
    applicationName: params.get('application_name'),
    ignored: [...new Set(params.keys())].filter((name) => !KNOWN.has(name)),
  }
}

/** The URL without its secrets, for logs and reports. */
export const describeDatabaseUrl = (url: DatabaseUrl, schema: string | null): string => {
  const hosts = url.hosts.map(({ host, port }) => (host.startsWith('/') ? host : `${host}:${port}`))
  const user = url.user === undefined ? '' : `${url.user}@`
  const suffix = schema === null ? '' : `?schema=${schema}`
  return `postgres://${user}${hosts.join(',')}/${url.database ?? ''}${suffix}`
}

/** Plain lower-case names only, so that a schema never needs quoting anywhere. */
export const checkSchemaName = (name: string | null, where: string): string | null => {
  if (name === null || name === '') return null
  const isPlain = /^[a-z_][a-z0-9_]{0,62}$/.test(name) && !/^(pg_|information_schema$)/.test(name)
  if (isPlain) return name
  throw new DatabaseSetupError(
    `${where}: "${name}" is not a usable schema name: ` +
      'a-z, 0-9 and _, at most 63 characters, the first no digit, not beginning with pg_',
  )
}

const parseHosts = (authority: string, params: URLSearchParams): readonly DatabaseHost[] => {
  const ports = (params.get('port') ?? '').split(',').filter((port) => port !== '')
  const list = (params.get('host') ?? '') || authority
  const hosts = list.split(',').map((item, index) => {
    const match = /^(\[[0-9a-f:.%]+\]|[^:[\]]*)(?::(\d+))?$/i.exec(decode(item) ?? '')
    if (!match) throw invalid('a host in it can not be read')
    const host = (match[1] ?? '').replace(/^\[|\]$/g, '') || 'localhost'
    const port = Number(match[2] ?? ports[index] ?? ports[0] ?? 5432)
    if (!(port >= 1 && port <= 65535)) throw invalid(`the port of host "${host}" is not 1-65535`)
    return { host, port }
  })
  if (hosts.length > MAX_HOSTS) throw invalid(`it names more than ${MAX_HOSTS} hosts`)
  return hosts
}

const parseTlsMode = (params: URLSearchParams, authority: string): TlsMode => {
  const mode = params.get('sslmode')
  switch (mode) {
    case null:
      if (params.has('ssl')) return params.get('ssl') === 'false' ? 'disable' : 'require'
      return isLocal(params.get('host') ?? authority) ? 'disable' : 'prefer'
    case 'allow':
      return 'prefer'
    case 'no-verify':
      return 'require'
    case 'require':
      // as libpq does: a root certificate given is a root certificate to be checked
      return params.has('sslrootcert') ? 'verify-ca' : 'require'
    case 'disable':
    case 'prefer':
    case 'verify-ca':
    case 'verify-full':
      return mode
    default:
      throw invalid(
        `sslmode=${mode} is unknown; it is one of disable, allow, prefer, require, ` +
          'verify-ca, verify-full',
      )
  }
}

const isLocal = (hosts: string): boolean =>
  hosts
    .split(',')
    .every((host) => /^(|\/.*|%2F.*|localhost|127\..*|\[::1\].*)$/i.test(host.replace(/:\d+$/, '')))

const checkSessionAttributes = (params: URLSearchParams): void => {
  const wanted = params.get('target_session_attrs')
  if (wanted === null || ['any', 'read-write', 'primary'].includes(wanted)) return
  throw invalid(`target_session_attrs=${wanted} can not work: creditd writes, it needs a primary`)
}

const parseCount = (params: URLSearchParams, name: string, factor: number): number | null => {
  const text = params.get(name)
  if (text === null) return null
  // 0 would mean "wait for ever" or "no connections" elsewhere, and neither is wanted
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text) * factor
  throw invalid(`${name}=${text} is not a whole number from 1 to 999999`)
}

const splitOnce = (text: string, separator: string): [string, string | undefined] => {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

const decode = (text: string | undefined): string | undefined => {
  if (text === undefined) return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('it holds a "%" that is not followed by two hexadecimal digits')
  }
}

const invalid = (reason: string) =>
  new DatabaseSetupError(`DATABASE_URL can not be used: ${reason}`)
