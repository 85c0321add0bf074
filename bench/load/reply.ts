/** A reply as far as it has arrived on one connection. */
export type Reply = {
  status: number
  isReplay: boolean
  /** Bytes of the body still to come; -1: the head is not complete. */
  missingBytes: number
  /** The head until it is complete; then the body, if it is wanted. */
  text: string
}

const NO_HEAD = -1
const HEAD_END = '\r\n\r\n'
const LENGTH = /\r\ncontent-length: *(\d+)/i

export const emptyReply = (): Reply => ({
  status: 0,
  isReplay: false,
  missingBytes: NO_HEAD,
  text: '',
})

/** Makes the record ready for the next reply. */
export function clearReply(reply: Reply): void {
  reply.missingBytes = NO_HEAD
  reply.text = ''
}

/**
 * Takes the bytes that came; true when the reply is complete. Throws when they are not a reply of
 * known length: one request at a time is on the way, so nothing can follow it.
 */
export function takeBytes(reply: Reply, bytes: Buffer, wantsBody: boolean): boolean {
  if (reply.missingBytes === NO_HEAD) return takeHead(reply, bytes, wantsBody)
  reply.missingBytes -= bytes.length
  if (wantsBody) reply.text += bytes.toString('latin1')
  return isComplete(reply)
}

function takeHead(reply: Reply, bytes: Buffer, wantsBody: boolean): boolean {
  const text = reply.text + bytes.toString('latin1')
  const end = text.indexOf(HEAD_END)
  if (end < 0) {
    reply.text = text
    return false
  }
  const head = text.slice(0, end)
  const length = LENGTH.exec(head)?.[1]
  if (length === undefined) throw new Error(`a reply without content-length: ${head.slice(0, 200)}`)
  reply.status = Number(head.slice(9, 12))
  reply.isReplay = head.includes('idempotent-replayed: true')
  reply.missingBytes = Number(length) - (text.length - end - HEAD_END.length)
  reply.text = wantsBody ? text.slice(end + HEAD_END.length) : ''
  return isComplete(reply)
}

function isComplete(reply: Reply): boolean {
  if (reply.missingBytes < 0) throw new Error('more bytes than the reply has')
  return reply.missingBytes === 0
}
