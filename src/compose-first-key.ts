import { randomBytes, randomUUID } from 'node:crypto'
import { createKey, hasKeys } from './admin/api-keys.js'
import type { Core } from './compose.js'
import { inTransaction, type Transaction } from './db/transaction.js'

/** Whoever guesses this key may do everything. */
const SAFE_KEY_LENGTH = 32

export type FirstKeyDeps = Pick<Core, 'config' | 'log' | 'db' | 'isEmbedded'> & {
  /** Shows the operator what must not be logged. */
  readonly print: (text: string) => void
  /** Where the service answers. */
  readonly url: string
}

/**
 * Makes the first API key of an embedded database and shows it, once, when the service answers.
 * Shown before it is committed: whoever is killed in between gets another one at the next start,
 * and is never left without.
 */
export const ensureFirstKey = async (deps: FirstKeyDeps): Promise<void> => {
  const { config, log, db, isEmbedded } = deps
  if (config.apiKey !== null && config.apiKey.length < SAFE_KEY_LENGTH) {
    log.warn('CREDITD_API_KEY is short enough to be guessed: take `openssl rand -base64 33`')
  }
  if (config.apiKey !== null || (await hasKeys(db.orm))) return
  if (!isEmbedded) {
    log.warn(
      'there is no API key yet: set CREDITD_API_KEY, or run "npx creditd keys create --name first"',
    )
    return
  }
  const deadlineMs = config.http.requestTimeoutMs
  await inTransaction(db, createMaking(deps), { deadlineMs, isRepeatable: true })
}

/** Another attempt makes and shows no other key than the first one did. */
const createMaking = ({ config, print, url }: FirstKeyDeps) => {
  const { apiKeyPrefix: prefix } = config
  const newKey = {
    name: 'first key',
    scopes: ['admin'] as const,
    prefix,
    expiresAtMs: null,
    rateLimit: null,
  }
  const id = randomUUID()
  const bytes = new Map<number, Buffer>()
  const sameBytes = (size: number): Buffer => {
    const known = bytes.get(size) ?? randomBytes(size)
    bytes.set(size, known)
    return known
  }
  let isShown = false
  return async (tx: Transaction): Promise<void> => {
    if (await hasKeys(tx)) return
    const deps = { newId: () => id, randomBytes: sameBytes, now: Date.now }
    const { key } = await createKey(tx, newKey, deps)
    if (!isShown) print(bannerOf(key, url))
    isShown = true
  }
}

const bannerOf = (key: string, url: string): string =>
  `\n  Your first API key, shown this once:\n\n    ${key}\n\n` +
  `  curl -H 'Authorization: Bearer <key>' ${url}/v1/accounts\n\n`
