import Stripe from 'stripe'
import { AppError } from '../../errors.js'

/** A call has this long, and is made once more at most. */
const TIMEOUT_MS = 10_000
const MAX_RETRIES = 1
const PAGE = 100
/** Ten thousand objects: beyond that, ask more often. */
const MAX_PAGES = 100

export type StripeSettings = {
  /** null: Stripe can not be asked. */
  readonly apiKey: string | null
  /** null: where it always is. */
  readonly apiUrl: string | null
  /** For one call of the API. */
  readonly timeoutMs?: number
}

/** Asks Stripe; throws AppError `provider_unavailable` or `provider_refused` when it can not. */
export type AskStripe = <T>(call: (api: Stripe) => Promise<T>) => Promise<T>

export function createAskStripe({ apiKey, ...where }: StripeSettings): AskStripe {
  const api = apiKey === null ? null : openApi(apiKey, where)
  return async (call) => {
    if (api === null) {
      throw new AppError(
        'provider_refused',
        'Stripe can not be asked: STRIPE_SECRET_KEY is not set',
      )
    }
    try {
      return await call(api)
    } catch (error) {
      throw toAppError(error)
    }
  }
}

function openApi(
  apiKey: string,
  { apiUrl, timeoutMs = TIMEOUT_MS }: Omit<StripeSettings, 'apiKey'>,
): Stripe {
  const { protocol, hostname, port } = new URL(apiUrl ?? 'https://api.stripe.com')
  const isPlain = protocol === 'http:'
  return new Stripe(apiKey, {
    protocol: isPlain ? 'http' : 'https',
    host: hostname,
    port: port === '' ? (isPlain ? 80 : 443) : Number(port),
    timeout: timeoutMs,
    maxNetworkRetries: MAX_RETRIES,
    telemetry: false,
  })
}

export type Page<T> = { readonly data: readonly T[]; readonly has_more: boolean }
export type PageQuery = { limit: number; starting_after?: string }

/** A list of Stripe's in pages; tells `onCut` when it is longer than we read. */
export async function* pagesOf<T extends { readonly id: string }>(
  read: (query: PageQuery) => Promise<Page<T>>,
  onCut: () => void,
): AsyncGenerator<readonly T[]> {
  let last: string | undefined
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const after = last === undefined ? {} : { starting_after: last }
    const { data, has_more: hasMore } = await read({ limit: PAGE, ...after })
    yield data
    last = data.at(-1)?.id
    if (!hasMore || last === undefined) return
  }
  onCut()
}

/** The id of what Stripe gives as an id, or whole. */
export const idOf = (value: string | { readonly id: string } | null | undefined): string | null =>
  typeof value === 'string' ? value : (value?.id ?? null)

/** What may be told of Stripe's words: anything that looks like a key goes. */
const KEY = /\b(?:sk|rk|pk|whsec|ek)_[A-Za-z0-9_*]+/g

function toAppError(error: unknown): unknown {
  if (!(error instanceof Stripe.errors.StripeError)) return error
  const { statusCode = 0, type } = error
  const message = error.message.replace(KEY, '…')
  if (type === 'StripeAuthenticationError') {
    return new AppError('provider_refused', 'Stripe does not accept the API key')
  }
  // 409: the same request is under way already
  const isPassing = statusCode >= 500 || statusCode === 429 || statusCode === 409
  if (isPassing || type === 'StripeConnectionError' || type === 'StripeAPIError') {
    return unavailable(`Stripe can not be reached: ${message}`)
  }
  return new AppError('provider_refused', `Stripe refuses: ${message}`)
}

const unavailable = (message: string): AppError => new AppError('provider_unavailable', message)
