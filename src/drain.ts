import type { Server } from 'node:http'
import { Server as NetServer } from 'node:net'

/** How long open connections are listened to after the last answer, for requests on their way. */
const STRAGGLER_MS = 1_000
const POLL_MS = 10

export type Drain = {
  /** Takes no new connections, answers every request on the open ones, then closes them. */
  run(): Promise<void>
}

/**
 * Empties a server of its connections without dropping a request. Node's own close() cuts idle
 * connections at once, also those with a request on the way: so here the listener goes first, then
 * every answer tells its caller that the connection ends with it, and silent ones are closed last.
 */
export const createDrain = (server: Server, sleep: (ms: number) => Promise<unknown>): Drain => {
  let isDraining = false
  let active = 0
  server.prependListener('request', (_request, response) => {
    active += 1
    response.once('close', () => {
      active -= 1
    })
    if (isDraining) response.setHeader('connection', 'close')
  })
  return {
    async run() {
      isDraining = true
      // the listener alone: http's own close() would go on to the idle connections
      if (server.listening) NetServer.prototype.close.call(server)
      for (let quietMs = 0; quietMs < STRAGGLER_MS; quietMs += POLL_MS) {
        if ((await countConnections(server)) === 0) return
        if (active > 0) quietMs = 0
        // counted in turns of the loop and not by the clock: each turn reads what has arrived
        await sleep(POLL_MS)
      }
      // opened in advance by a load balancer or a browser, and not used
      server.closeAllConnections()
    },
  }
}

const countConnections = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.getConnections((error, count) => resolve(error ? 0 : count))
  })
