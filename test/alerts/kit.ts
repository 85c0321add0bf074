import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { Notice } from '../../src/alerts/notice.js'
import type { TestContext } from '../helpers/database.js'

export type Received = { readonly headers: IncomingHttpHeaders; readonly notice: Notice }

export type Receiver = {
  readonly url: string
  /** What it took, in order of arrival. */
  readonly taken: readonly Received[]
  /** How often it was asked, whatever it answered. */
  attempts(): number
  /** What it answers from now on; `hang`: nothing at all. */
  answer(status: number | 'hang'): void
  waitFor(count: number): Promise<void>
}

const DEADLINE_MS = 60_000

/** A receiver of alerts as an operator would have one. */
export const openReceiver = async (t: TestContext): Promise<Receiver> => {
  let answer: number | 'hang' = 204
  let attempts = 0
  const taken: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      attempts += 1
      if (answer === 'hang') return
      if (answer < 300) {
        taken.push({
          headers: request.headers,
          notice: JSON.parse(Buffer.concat(chunks).toString()) as Notice,
        })
      }
      response.writeHead(answer, { location: '/elsewhere' }).end('a body that nobody reads')
    })
  })
  const port = await listen(server)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${port}/hooks/secret-path`,
    taken,
    attempts: () => attempts,
    answer(status) {
      answer = status
    },
    async waitFor(count) {
      const endMs = performance.now() + DEADLINE_MS
      while (taken.length < count) {
        if (performance.now() > endMs) throw new Error(`${taken.length} of ${count} have come`)
        await new Promise((resolve) => setTimeout(resolve, 25))
      }
    },
  }
}

const listen = (server: Server): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : 0)
    })
  })
