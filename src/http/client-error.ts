import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { AppError } from '../errors.js'
import { problemHeaders, toProblem } from './problem.js'
import { pathOf } from './route.js'

type NewId = (request: Pick<IncomingMessage, 'headers'>) => string

/** What node answers for itself when a request can not even be read as HTTP. */
export const createClientErrorHandler =
  (newId: NewId) =>
  (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const failure = failureOf(error)
    const { headers, body } = answerTo(failure, '/', newId({ headers: {} }))
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const { status } = failure
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
  }

/** Node answers an `Expect` that it does not know without a word of why. */
export const createExpectationHandler =
  (newId: NewId) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const failure = new AppError('expectation_failed', 'Only Expect: 100-continue is understood')
    const { headers, body } = answerTo(failure, pathOf(request.url ?? '/'), newId(request))
    response.writeHead(failure.status, headers).end(body)
  }

/** HTTP/1.1 wants it; null: it is there. */
export const missingHost = ({ headers, httpVersion }: IncomingMessage): AppError | null =>
  headers.host === undefined && httpVersion === '1.1'
    ? new AppError('invalid_request', 'The request has no Host header')
    : null

function failureOf({ code }: NodeJS.ErrnoException): AppError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new AppError('headers_too_large', 'The request line and headers are too long together')
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new AppError('request_timeout', 'The request did not arrive in time')
  }
  return new AppError('invalid_request', 'The request can not be read as HTTP/1.1')
}

/** Whatever else was sent on the connection is not read any more. */
function answerTo(failure: AppError, instance: string, requestId: string) {
  const body = JSON.stringify(toProblem(failure, { instance, requestId }))
  const headers = {
    ...problemHeaders(failure),
    'x-request-id': requestId,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }
  return { headers, body }
}
