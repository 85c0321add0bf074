import { createConnection, createServer, type Socket } from 'node:net'

/**
 * - pass: as a wire does.
 * - hole: takes everything and gives nothing on, both ways; new connections hang.
 * - mute: what the client sends arrives, what is answered does not.
 * - late: what is answered arrives half a second later, or as late as is said.
 * - cut: new connections are refused at once.
 */
export type WireMode = 'pass' | 'hole' | 'mute' | 'late' | 'cut'

const LATE_MS = 500

export type Wire = {
  readonly port: number
  /** `lateMs`: how late, in the mode of that name. */
  set(mode: WireMode, lateMs?: number): void
  /** Resets every connection there is. */
  reset(): void
  close(): Promise<void>
}

/** A wire to a server on this machine that can be cut, blocked, and made to lose replies. */
export async function createProxy(targetPort: number): Promise<Wire> {
  let mode: WireMode = 'pass'
  let lateMs = LATE_MS
  const pairs = new Set<readonly [Socket, Socket]>()

  const server = createServer((client) => {
    const upstream = createConnection(targetPort, '127.0.0.1')
    const pair = [client, upstream] as const
    pairs.add(pair)
    if (mode === 'cut') client.resetAndDestroy()
    client.on('data', (data) => {
      if (mode !== 'hole') upstream.write(data)
    })
    upstream.on('data', (data) => {
      if (mode === 'pass') client.write(data)
      if (mode === 'late') setTimeout(() => client.write(data), lateMs)
    })
    for (const [from, to] of [pair, pair.toReversed() as [Socket, Socket]]) {
      from.on('error', () => {})
      from.on('close', () => {
        to.destroy()
        pairs.delete(pair)
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const reset = () => {
    for (const [client, upstream] of pairs) {
      client.resetAndDestroy()
      upstream.destroy()
    }
  }

  return {
    port: typeof address === 'object' && address ? address.port : 0,
    set(to, newLateMs = LATE_MS) {
      mode = to
      lateMs = newLateMs
    },
    reset,
    close() {
      // a reset can leave a write behind that never ends, and with it the process
      for (const pair of pairs) for (const socket of pair) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
