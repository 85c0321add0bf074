import { AppError } from '../../errors.js'
import { type Fields, fieldsOf, textOf } from './creem-fields.js'

const LIVE_URL = 'https://api.creem.io'
const TEST_URL = 'https://test-api.creem.io'
const TEST_KEY = /^creem_test_/

const TIMEOUT_MS = 10_000
/** A page of a hundred transactions has some 60 KB. */
const MAX_REPLY_BYTES = 4 * 1_048_576
const MAX_REASON_LENGTH = 200

/** What a later attempt may find otherwise. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429])
/** Asked for something that is not there, Creem answers with either. */
const MISSING_STATUSES: ReadonlySet<number> = new Set([400, 404])

export type CreemClientDeps = {
  readonly apiKey: string
  /** null: where keys of this kind belong. */
  readonly apiUrl: string | null
  readonly timeoutMs?: number
}

export type CreemClient = {
  /** null: there is no such thing. */
  find(path: string, query: Readonly<Record<string, string>>): Promise<Fields | null>
  get(path: string, query: Readonly<Record<string, string>>): Promise<Fields>
  post(path: string, body: Fields): Promise<Fields>
}

/** Whether a key is one of Creem's test mode. */
export const isTestKey = (apiKey: string): boolean => TEST_KEY.test(apiKey)

/**
 * Creem's API over fetch: each call ends within ten seconds and is made once. Throws
 * `provider_unavailable` when Creem can not be reached, is overloaded or answers what can not be
 * read, and `provider_refused` when it says no; neither holds the key.
 */
export const createCreemClient = (deps: CreemClientDeps): CreemClient => {
  const call = callerOf(deps)
  const get: CreemClient['get'] = async (path, query) => accepted(await call('GET', path, query))
  return {
    async find(path, query) {
      const reply = await call('GET', path, query)
      return MISSING_STATUSES.has(reply.status) ? null : accepted(reply)
    },
    get,
    post: async (path, body) => accepted(await call('POST', path, {}, body)),
  }
}

type Reply = { readonly status: number; readonly body: Fields; readonly hide: Hide }
type Hide = (text: string) => string

const callerOf = ({ apiKey, apiUrl, timeoutMs = TIMEOUT_MS }: CreemClientDeps) => {
  const base = (apiUrl ?? (isTestKey(apiKey) ? TEST_URL : LIVE_URL)).replace(/\/+$/, '')
  const hide: Hide = (text) => text.replaceAll(apiKey, '***')
  return async (
    method: 'GET' | 'POST',
    path: string,
    query: Readonly<Record<string, string>>,
    body?: Fields,
  ): Promise<Reply> => {
    const search = new URLSearchParams(query).toString()
    const url = `${base}${path}${search === '' ? '' : `?${search}`}`
    try {
      const response = await fetch(url, {
        method,
        headers: {
          'x-api-key': apiKey,
          accept: 'application/json',
          'user-agent': 'creditd',
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        // the key must not follow to where nobody has configured it
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      const text = await readBounded(response)
      return { status: response.status, body: parse(text, response.ok), hide }
    } catch (error) {
      if (error instanceof AppError) throw error
      throw unavailable(reasonOf(error), error)
    }
  }
}

const accepted = ({ status, body, hide }: Reply): Fields => {
  if (status >= 200 && status < 300) return body
  if (status >= 500 || PASSING_STATUSES.has(status)) throw unavailable(`it answered ${status}`)
  if (status === 401 || status === 403) {
    throw new AppError('provider_refused', `Creem refuses the API key (${status})`)
  }
  const reason = hide(refusalIn(body))
  throw new AppError('provider_refused', `Creem answered ${status}${reason && `: ${reason}`}`)
}

/** Creem says why in `message`, a text or a list of them. */
const refusalIn = ({ message, error }: Fields): string => {
  const parts = Array.isArray(message) ? message : [message ?? error]
  const text = parts.flatMap((part) => textOf(part) ?? []).join('; ')
  return text.slice(0, MAX_REASON_LENGTH)
}

const unavailable = (reason: string, cause?: unknown): AppError =>
  new AppError('provider_unavailable', `Creem can not be used for now: ${reason}`, {}, cause)

const parse = (text: string, isOk: boolean): Fields => {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return fieldsOf(value)
  } catch {
    // told below
  }
  if (isOk) throw unavailable('its answer can not be read')
  return {}
}

const readBounded = async (response: Response): Promise<string> => {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > MAX_REPLY_BYTES) throw unavailable('its answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The messages of fetch can name the URL; the code of what lies beneath does not. */
const reasonOf = (error: unknown): string => {
  const { name, cause } = error as { name?: string; cause?: { code?: unknown } }
  if (name === 'TimeoutError') return 'it did not answer in time'
  return typeof cause?.code === 'string' ? `no connection: ${cause.code}` : 'no connection'
}
