import type { Notice } from './notice.js'

/** Less than the pause before the next attempt. */
const TIMEOUT_MS = 5_000

/** Ends well when the receiver has taken the notice, with any 2xx. */
export type Send = (notice: Notice) => Promise<void>

/** Why a notice was not taken, in words that hold nothing of the receiver's URL. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError'
}

/**
 * Posts notices as JSON. A user and password in the URL become an Authorization header. Redirects
 * are not followed: they would take the notice to where nobody has configured it.
 */
export const createWebhook = (
  url: string,
  { timeoutMs = TIMEOUT_MS }: { readonly timeoutMs?: number } = {},
): Send => {
  const target = new URL(url)
  const user = `${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`
  const authorization = user === ':' ? null : `Basic ${Buffer.from(user).toString('base64')}`
  target.username = ''
  target.password = ''
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'creditd',
    ...(authorization !== null && { authorization }),
  }
  return async (notice) => {
    const init = {
      method: 'POST',
      headers,
      body: JSON.stringify(notice),
      redirect: 'manual',
    } as const
    const reply = await fetch(target, { ...init, signal: AbortSignal.timeout(timeoutMs) }).catch(
      (error) => {
        throw new WebhookError(reasonOf(error))
      },
    )
    await reply.body?.cancel().catch(() => {})
    if (!reply.ok) throw new WebhookError(`it answered ${reply.status}`)
  }
}

/** The messages of fetch can name the URL; the code of what lies beneath does not. */
const reasonOf = (error: unknown): string => {
  const { name, cause } = error as { name?: string; cause?: { code?: unknown } }
  if (name === 'TimeoutError') return 'it did not answer in time'
  return typeof cause?.code === 'string' ? `it can not be reached: ${cause.code}` : 'it failed'
}
