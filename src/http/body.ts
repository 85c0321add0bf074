import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '../errors.js'
import type { App } from './route.js'

/** Enough for metadata of 8 KiB with everything around it. */
export const BODY_LIMIT_BYTES = 16 * 1024
/** A bulk call of 1,000 operations. */
export const BULK_BODY_LIMIT_BYTES = 1024 * 1024

const CHARSET = /;\s*charset\s*=\s*"?([^\s";]*)/i

/**
 * Reads bodies as JSON. An empty one counts as `{}`, whatever its content type, also when there is
 * none at all. `__proto__` stays an own key like any other: no one copies a body by assignment.
 */
export function registerBodyParsers(app: App): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      refuseEncoded(request.headers)
      done(null, parseJson(body as Buffer))
    } catch (error) {
      done(error as Error)
    }
  })
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    if (body.length === 0) done(null, {})
    else done(new AppError('unsupported_media_type', 'The body must be sent as application/json'))
  })
  app.addHook('onRoute', (route) => {
    if (route.schema?.body === undefined) return
    route.preValidation = [
      ...[route.preValidation ?? []].flat(),
      (request, _reply, done) => {
        if (request.body === undefined) request.body = {}
        done()
      },
    ]
  })
}

/** Text that was packed, or written in another way, would be read as something else. */
function refuseEncoded(headers: IncomingHttpHeaders): void {
  const { 'content-encoding': encoding, 'content-type': type = '' } = headers
  if (encoding && encoding.trim().toLowerCase() !== 'identity') {
    throw new AppError('unsupported_media_type', 'The body must be sent without Content-Encoding')
  }
  const charset = CHARSET.exec(type)?.[1]
  if (charset !== undefined && charset.toLowerCase() !== 'utf-8') {
    throw new AppError('unsupported_media_type', 'The body must be sent in the charset utf-8')
  }
}

/** Throws AppError `invalid_request` that tells where the text stops being JSON. */
function parseJson(body: Buffer): unknown {
  if (body.length === 0) return {}
  if (!isUtf8(body)) throw malformed('it is not UTF-8')
  try {
    return JSON.parse(body.toString())
  } catch (error) {
    throw malformed(error instanceof Error ? error.message : 'it can not be parsed')
  }
}

const malformed = (reason: string): AppError =>
  new AppError('invalid_request', 'The body is not valid JSON', {
    errors: [{ in: 'body', path: '', message: reason }],
  })
