export type RedisRole = 'main' | 'cache' | 'session'

/** In the order in which they are told of. */
export const REDIS_ROLES: readonly RedisRole[] = ['main', 'cache', 'session']

export type RedisHost = { readonly host: string; readonly port: number }

export type RedisTarget = {
  /** The variable it comes from; safe to print, unlike the rest. */
  readonly variable: string
  readonly hosts: readonly RedisHost[]
  readonly isCluster: boolean
  readonly isEncrypted: boolean
  readonly username: string | null
  readonly password: string | null
  readonly database: number
}

/** What a variable says is no address: its roles are served without Redis. */
export type UnusableTarget = { readonly variable: string; readonly problem: RedisUrlError }

export type RedisTargets = Readonly<Record<RedisRole, RedisTarget | UnusableTarget | null>>

export const isUsable = (target: RedisTarget | UnusableTarget): target is RedisTarget =>
  !('problem' in target)

/** Which variables name a role's Redis, and its token; the first that is set counts. */
const VARIABLES: Readonly<Record<RedisRole, readonly (readonly [url: string, token: string])[]>> = {
  main: [
    ['REDIS_URL', 'REDIS_TOKEN'],
    ['UPSTASH_REDIS_REST_URL', 'UPSTASH_REDIS_REST_TOKEN'],
    ['KV_REST_API_URL', 'KV_REST_API_TOKEN'],
  ],
  cache: [['REDIS_CACHE_URL', 'REDIS_CACHE_TOKEN']],
  session: [['REDIS_SESSION_URL', 'REDIS_SESSION_TOKEN']],
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Where each role's Redis is; those without one of their own use the main one. A role whose own URL
 * can not be used has none: that of another would not be what was asked for. Pure.
 */
export const findRedisTargets = (env: Environment): RedisTargets => {
  const main = targetOf('main', env)
  return {
    main,
    cache: targetOf('cache', env) ?? main,
    session: targetOf('session', env) ?? main,
  }
}

const targetOf = (role: RedisRole, env: Environment): RedisTargets[RedisRole] => {
  for (const [variable, tokenVariable] of VARIABLES[role]) {
    const url = env[variable]?.trim()
    if (!url) continue
    try {
      return parseRedisUrl(url, { variable, tokenVariable, token: env[tokenVariable] })
    } catch (error) {
      if (!(error instanceof RedisUrlError)) throw error
      return { variable, problem: error }
    }
  }
  return null
}

/** A URL of Redis can not be used; the message names the variable and never holds the value. */
export class RedisUrlError extends Error {
  readonly variable: string
  readonly reason: string

  constructor(variable: string, reason: string) {
    super(`${variable} ${reason}`)
    this.name = 'RedisUrlError'
    this.variable = variable
    this.reason = reason
  }
}

export type RedisUrlSource = {
  readonly variable: string
  readonly tokenVariable: string
  readonly token: string | undefined
}

const DEFAULT_PORT = 6379
const MAX_HOSTS = 16
/** Of a URL and of a token. */
const MAX_LENGTH = 4_096
const SHAPE =
  'must be redis://user:password@host:6379, the same with rediss, or https://host with its token'

/** Takes a URL apart: redis, rediss, or the https address of a REST service with its token. */
export const parseRedisUrl = (text: string, source: RedisUrlSource): RedisTarget => {
  const fail = (reason: string): never => {
    throw new RedisUrlError(source.variable, reason)
  }
  if (text.length > MAX_LENGTH) return fail(`must have at most ${MAX_LENGTH} characters`)
  const match = /^(rediss?|https):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(text)
  if (match === null) return fail(SHAPE)
  const [, scheme = '', authority = '', path = '', query = ''] = match
  if (path.includes('@')) return fail('must have / @ : ? # in its password percent-encoded')
  if (scheme.toLowerCase() === 'https') return restTarget(authority, source, fail)
  const at = authority.lastIndexOf('@')
  const [user = '', password] = at < 0 ? [] : splitOnce(authority.slice(0, at))
  const hosts = hostsOf(authority.slice(at + 1), fail)
  const params = new URLSearchParams(query)
  const isCluster = hosts.length > 1 || params.get('cluster') === 'true'
  return {
    variable: source.variable,
    hosts,
    isCluster,
    isEncrypted: scheme.toLowerCase() === 'rediss',
    username: decode(user, fail) || null,
    password: decode(password ?? '', fail) || null,
    database: databaseOf(path || (params.get('db') ?? ''), isCluster, fail),
  }
}

type Fail = (reason: string) => never

const restTarget = (authority: string, source: RedisUrlSource, fail: Fail): RedisTarget => {
  const token = source.token?.trim()
  if (!token) return fail(`is an https address and needs ${source.tokenVariable}`)
  if (token.length > MAX_LENGTH) return fail(`needs a shorter ${source.tokenVariable}`)
  const [first] = hostsOf(authority, fail)
  return {
    variable: source.variable,
    // the port of the address is that of HTTP
    hosts: [{ host: first?.host ?? '', port: DEFAULT_PORT }],
    isCluster: false,
    isEncrypted: true,
    username: 'default',
    password: token,
    database: 0,
  }
}

const hostsOf = (authority: string, fail: Fail): readonly RedisHost[] => {
  const hosts = authority.split(',').map((item) => {
    const [, host = '', port = String(DEFAULT_PORT)] =
      /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(item) ?? []
    if (host === '') return fail(SHAPE)
    if (Number(port) < 1 || Number(port) > 65_535) return fail('must have a port from 1 to 65535')
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
  })
  return hosts.length > MAX_HOSTS ? fail(`must not name more than ${MAX_HOSTS} hosts`) : hosts
}

const databaseOf = (text: string, isCluster: boolean, fail: Fail): number => {
  const database = text === '' ? 0 : /^\d{1,4}$/.test(text) ? Number(text) : -1
  if (database < 0) return fail('must have the number of a database after its host, if anything')
  if (isCluster && database > 0) return fail('must not choose a database: a cluster has one')
  return database
}

const splitOnce = (text: string): [string, string | undefined] => {
  const at = text.indexOf(':')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

const decode = (text: string, fail: Fail): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return fail('must have "%" only before two hexadecimal digits')
  }
}
