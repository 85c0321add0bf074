import { toAppError as fromDatabase } from '../db/errors.js'
import { AppError } from '../errors.js'
import { SessionsAwayError } from '../stores/session/store.js'
import { BODY_LIMIT_BYTES, BULK_BODY_LIMIT_BYTES } from './body.js'
import { MAX_PARAM_LENGTH } from './route.js'

const TOO_LARGE =
  `The body may have ${BODY_LIMIT_BYTES} bytes, ` +
  `that of a bulk call or of a provider's event ${BULK_BODY_LIMIT_BYTES}`

/** The failure that the client sees; what we did not expect shows nothing of itself. */
export function toFailure(error: unknown): AppError {
  if (error instanceof SessionsAwayError) return sessionsAway()
  // first, for a caller that hangs up looks like a lost connection to the database
  const refused = error instanceof AppError ? error : fromFramework(error)
  const known = refused ?? fromDatabase(error)
  return known ?? new AppError('internal', 'Something went wrong here', {}, error)
}

/** Not a 401: the session may well be alive, and nobody is to be logged out by an outage. */
const sessionsAway = (): AppError =>
  new AppError('sessions_unavailable', 'Sessions can not be looked up for now; try again')

/** What the framework refuses before any code of ours runs. */
function fromFramework(error: unknown): AppError | null {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return null
  const { statusCode: status, code } = error as { statusCode: unknown; code?: unknown }
  if (code === 'ECONNRESET' && status === 400) {
    return new AppError('invalid_request', 'The request was broken off')
  }
  if (status === 413) return new AppError('payload_too_large', TOO_LARGE)
  if (status === 415) {
    return new AppError('unsupported_media_type', 'The body must be sent as application/json')
  }
  if (code === 'FST_ERR_BAD_URL') {
    return new AppError('invalid_request', 'The path is not valid percent-encoded UTF-8')
  }
  if (code === 'FST_ERR_MAX_PARAM_LENGTH') {
    return new AppError(
      'invalid_request',
      `A part of the path is longer than ${MAX_PARAM_LENGTH} characters`,
    )
  }
  if (typeof status !== 'number' || status < 400 || status >= 500) return null
  return new AppError('invalid_request', 'The request can not be read', {}, error)
}
