import { createHmac, timingSafeEqual } from 'node:crypto'
import { AppError } from '../../errors.js'
import { type Fields, fieldsOf, instantOf, wordOf } from './creem-fields.js'
import type { ProviderEvent, RawEvent } from './provider.js'

const HEADER = 'creem-signature'
const SIGNATURE = /^[0-9a-f]{64}$/

/** How `mode` is spelt, in the samples and in the SDK. */
const LIVE_MODES: ReadonlySet<unknown> = new Set(['prod', 'production', 'live'])
const TEST_MODES: ReadonlySet<unknown> = new Set(['test', 'sandbox', 'local'])

export type CreemSigning = {
  /** Any of them may have signed. */
  readonly secrets: readonly string[]
  /** What an event is that says nothing of its mode. */
  readonly isLiveByDefault: boolean
  readonly nowMs: number
}

/**
 * Proves that an event was signed with one of the secrets. Creem signs no time, so an old event is
 * as good as a new one: what keeps it from acting twice is its id. Throws `invalid_signature`, and
 * `invalid_request` for what was signed and is no event.
 */
export const verifyCreemEvent = (
  { body, headers }: RawEvent,
  signing: CreemSigning,
): ProviderEvent => {
  const given = headers[HEADER]
  if (typeof given !== 'string' || !isSigned(body, given, signing.secrets)) {
    throw new AppError('invalid_signature', `${HEADER} is not the signature of this body`)
  }
  return eventIn(body, signing)
}

const isSigned = (body: Buffer, given: string, secrets: readonly string[]): boolean => {
  if (!SIGNATURE.test(given)) return false
  const signature = Buffer.from(given, 'hex')
  const matches = secrets
    .filter((secret) => secret !== '')
    .map((secret) => timingSafeEqual(signature, createHmac('sha256', secret).update(body).digest()))
  return matches.includes(true)
}

const eventIn = (body: Buffer, { isLiveByDefault, nowMs }: CreemSigning): ProviderEvent => {
  const payload = parse(body)
  const object = fieldsOf(payload.object)
  const id = wordOf(payload.id)
  const type = wordOf(payload.eventType)
  const objectId = wordOf(object.id)
  if (id === null || type === null || objectId === null || wordOf(object.object) === null) {
    throw new AppError(
      'invalid_request',
      'An event of Creem has an id, an eventType, and an object with its id and its kind',
    )
  }
  const createdAtMs = instantOf(payload.created_at) ?? nowMs
  const isLive = isLiveOf(object) ?? isLiveByDefault
  return { id, type, objectId, isLive, createdAtMs, payload }
}

/**
 * The sample of a dispute names one mode on the outside and another within: what anywhere says
 * live is live, for a lost dispute costs more than one of the test mode. null: nothing is said.
 */
const isLiveOf = (object: Fields): boolean | null => {
  const within = [object.transaction, object.order, object.checkout, object.subscription]
  const modes = [object, ...within.map(fieldsOf)].map(({ mode }) => mode)
  if (modes.some((mode) => LIVE_MODES.has(mode))) return true
  return modes.some((mode) => TEST_MODES.has(mode)) ? false : null
}

const parse = (body: Buffer): Fields => {
  try {
    return fieldsOf(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)))
  } catch (error) {
    throw new AppError('invalid_request', 'The event is not JSON in UTF-8', {}, error)
  }
}
