import type { IncomingMessage } from 'node:http'

/** What we take over from a proxy: nothing that could break a log line or fill a row. */
const SANE = /^[A-Za-z0-9._:-]{1,64}$/

/** Gives each request its id: the caller's `x-request-id` when it is sane, else a short new one. */
export function createRequestId(
  prefix: string,
): (request: Pick<IncomingMessage, 'headers'>) => string {
  let count = 0
  return ({ headers }) => {
    const given = headers['x-request-id']
    if (typeof given === 'string' && SANE.test(given)) return given
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}
