import { hash, randomUUID } from 'node:crypto'

/** What a public id names: a row, a grant or a hold of an account. */
export type IdKind = 'txn' | 'gr' | 'hold'
export type Named = { readonly accountId: string; readonly seq: number }

/** What an account id looks like; an id that names anything else is none of ours. */
export const NAMEABLE = /^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$/
const SHAPE = /^(txn|gr|hold)_([A-Za-z0-9_-]{3,200})$/

/** The public id of row `seq` of an account; opaque to clients. */
export const encodeId = (kind: IdKind, accountId: string, seq: number): string =>
  `${kind}_${Buffer.from(`${seq}:${accountId}`).toString('base64url')}`

/** What a public id names, or null when it is none of ours. */
export function decodeId(kind: IdKind, id: string): Named | null {
  const match = SHAPE.exec(id)
  if (match?.[1] !== kind || match[2] === undefined) return null
  const text = Buffer.from(match[2], 'base64url').toString()
  const colon = text.indexOf(':')
  const seq = Number(text.slice(0, colon))
  const accountId = text.slice(colon + 1)
  if (!Number.isSafeInteger(seq) || seq < 1 || !NAMEABLE.test(accountId)) return null
  return encodeId(kind, accountId, seq) === id ? { accountId, seq } : null
}

/** Namespaces of idempotency keys: a client can never take a fact's key. */
export type KeyNamespace = 'fact' | 'api' | 'session'

/** The first 128 bits of a SHA-256, written as a uuid: 16 bytes in the database. */
export function digestOf(...parts: readonly string[]): string {
  // one call over one text: a Hash object costs three times as much, on every charge
  const hex = hash('sha256', parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join(''))
  const start = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}`
  return `${start}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}

/** The digest under which a client's or a fact's key is stored, unique within its account. */
export const keyDigest = (namespace: KeyNamespace, key: string): string => digestOf(namespace, key)

/** A key for an operation whose client sent none, so that its outcome can still be looked up. */
export const newKey = (): string => randomUUID()

/** JSON with sorted object keys: equal values give equal text, other values other text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (value === null || typeof value !== 'object' || value instanceof Date) {
    return JSON.stringify(value) ?? 'null'
  }
  const entries = Object.entries(value).filter(([, v]) => v !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`
}
