import { isUtf8 } from 'node:buffer'
import Stripe from 'stripe'
import { z } from 'zod'
import { AppError } from '../../errors.js'
import type { ProviderEvent, RawEvent } from './provider.js'

/** How old a signature may be, and how far ahead of us its clock. */
const TOLERANCE_SECONDS = 300

const HEADER = 'stripe-signature'

/** Leniently: all that is needed here of an event, whatever its API version. */
const eventSchema = z.looseObject({
  id: z.string(),
  type: z.string(),
  created: z.number(),
  livemode: z.boolean(),
  data: z.looseObject({ object: z.looseObject({ id: z.string().optional() }) }),
})

const signatureError = (message: string): AppError => new AppError('invalid_signature', message)

/**
 * The event, when any of the secrets signed it within five minutes of now. Throws
 * `invalid_signature`, and `invalid_request` when what was signed is no event.
 */
export function readStripeEvent(
  { body, headers }: RawEvent,
  secrets: readonly string[],
  nowMs: number,
): ProviderEvent {
  const header = headers[HEADER]
  if (typeof header !== 'string' || header === '') {
    throw signatureError('The header Stripe-Signature is missing')
  }
  if (!isPlainUtf8(body)) throw signatureError('The signature does not fit the body')
  const payload = signedBy(secrets, body, header, nowMs)
  refuseFuture(header, nowMs)
  const parsed = eventSchema.safeParse(payload)
  if (!parsed.success) throw new AppError('invalid_request', 'The body is not an event of Stripe')
  const { id, type, created, livemode, data } = parsed.data
  return {
    id,
    type,
    objectId: data.object.id ?? null,
    isLive: livemode,
    createdAtMs: created * 1000,
    payload: parsed.data,
  }
}

/** The SDK takes the text for what was signed: other bytes must not read as the same text. */
const isPlainUtf8 = (body: Buffer): boolean => isUtf8(body) && !body.subarray(0, 3).equals(BOM)

const BOM = Buffer.from([0xef, 0xbb, 0xbf])

/** While a secret is rolled, two are right. */
function signedBy(
  secrets: readonly string[],
  body: Buffer,
  header: string,
  nowMs: number,
): unknown {
  let refusal = 'No secret is set to prove events by'
  for (const secret of secrets) {
    try {
      return Stripe.webhooks.constructEvent(
        body,
        header,
        secret,
        TOLERANCE_SECONDS,
        undefined,
        nowMs,
      )
    } catch (error) {
      if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) throw noEvent(error)
      refusal = reasonOf(error)
      // it was signed by this one: another would only tell less of it
      if (refusal === TOO_OLD) break
    }
  }
  throw signatureError(refusal)
}

const TOO_OLD = 'The signature is too old'

const reasonOf = ({ message }: Error): string =>
  /tolerance/.test(message) ? TOO_OLD : 'The signature does not fit the body'

const noEvent = (cause: unknown): AppError =>
  new AppError('invalid_request', 'The body is not valid JSON, or no event', {}, cause)

/** The SDK refuses the old only. */
function refuseFuture(header: string, nowMs: number): void {
  const stamps = header
    .split(',')
    .map((item) => item.split('='))
    .flatMap(([key, value = '']) => (key === 't' ? [Number.parseInt(value, 10)] : []))
  if (Math.max(...stamps) - Math.floor(nowMs / 1000) > TOLERANCE_SECONDS) {
    throw signatureError('The signature is of the future')
  }
}
