import { AppError } from '../errors.js'

/** Of what is sent twice node drops the second, or joins both: neither is what the caller meant. */
const AUTHORIZATION = 'authorization'
const IDEMPOTENCY_KEY = 'idempotency-key'

/**
 * The refusal of a request that sends a header twice which names one thing; null when it does not.
 * Takes names and values in turn, as they came. On the way of every call, so lengths come first.
 */
export function repeatedHeader(rawHeaders: readonly string[]): AppError | null {
  let credentials = 0
  let keys = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (name.length === AUTHORIZATION.length && name.toLowerCase() === AUTHORIZATION) {
      credentials += 1
    } else if (name.length === IDEMPOTENCY_KEY.length && name.toLowerCase() === IDEMPOTENCY_KEY) {
      keys += 1
    }
  }
  if (credentials > 1) return sentTwice(AUTHORIZATION, 'Authorization')
  if (keys > 1) return sentTwice(IDEMPOTENCY_KEY, 'Idempotency-Key')
  return null
}

const sentTwice = (path: string, name: string): AppError =>
  new AppError('invalid_request', `The header ${name} was sent more than once`, {
    errors: [{ in: 'header', path, message: 'Must be sent once' }],
  })
