import Stripe from 'stripe'
import {
  newStripeId,
  nowSeconds,
  type StripeStandIn,
  type Thing,
} from '../helpers/stripe-stand-in.js'

/** What happens at Stripe: what buyers, banks and operators do there. */
export type StripeWorld = ReturnType<typeof createWorld>

export const createWorld = ({ objects }: Pick<StripeStandIn, 'objects'>) => {
  const sessionOf = (id: string): Thing => found(objects.sessions, id)
  const intentOf = (sessionId: string): Thing =>
    found(objects.intents, String(sessionOf(sessionId).payment_intent))

  /** The buyer has finished the checkout; with a delayed method the money is still to come. */
  const pay = (sessionId: string, { isDelayed = false, amount = 0 } = {}): string => {
    const session = sessionOf(sessionId)
    const total = amount || Number(session.amount_total)
    const charge = add(objects.charges, 'ch', { amount: total, amount_refunded: 0 })
    const intent = add(objects.intents, 'pi', {
      object: 'payment_intent',
      amount: total,
      amount_received: isDelayed ? 0 : total,
      currency: session.currency,
      latest_charge: charge.id,
      metadata: session.paymentMetadata,
      status: isDelayed ? 'processing' : 'succeeded',
    })
    Object.assign(charge, { object: 'charge', payment_intent: intent.id })
    Object.assign(session, {
      status: 'complete',
      payment_status: isDelayed ? 'unpaid' : 'paid',
      payment_intent: intent.id,
      amount_total: total,
    })
    return intent.id
  }

  return {
    sessionOf,
    pay,
    /** The money of a delayed method has come, or will not. */
    settle(sessionId: string, isPaid: boolean) {
      const [session, intent] = [sessionOf(sessionId), intentOf(sessionId)]
      intent.status = isPaid ? 'succeeded' : 'requires_payment_method'
      intent.amount_received = isPaid ? intent.amount : 0
      session.payment_status = isPaid ? 'paid' : 'unpaid'
    },
    expire(sessionId: string) {
      sessionOf(sessionId).status = 'expired'
    },
    refund(paymentId: string, amount: number, status = 'succeeded'): Thing {
      const { latest_charge, currency } = found(objects.intents, paymentId)
      return add(objects.refunds, 're', {
        ...{ object: 'refund', amount, currency, status },
        ...{ payment_intent: paymentId, charge: latest_charge },
      })
    },
    dispute(paymentId: string, amount: number, status: string, moved: readonly number[] = []) {
      const { latest_charge, currency } = found(objects.intents, paymentId)
      return add(objects.disputes, 'dp', {
        ...{ object: 'dispute', amount, currency, status, reason: 'fraudulent' },
        ...{ payment_intent: paymentId, charge: latest_charge, is_charge_refundable: false },
        balance_transactions: moved.map((sum) => ({ id: newStripeId('txn'), amount: sum })),
      })
    },
    chargeOf: (paymentId: string): Thing =>
      found(objects.charges, String(found(objects.intents, paymentId).latest_charge)),
  }
}

const found = (things: ReadonlyMap<string, Thing>, id: string): Thing => {
  const thing = things.get(id)
  if (!thing) throw new Error(`Stripe has no ${id}`)
  return thing
}

export const add = (
  things: Map<string, Thing>,
  prefix: string,
  values: Omit<Thing, 'id' | 'created'> & { created?: number },
): Thing => {
  const thing = { created: nowSeconds(), ...values, id: newStripeId(prefix) } as Thing
  things.set(thing.id, thing)
  return thing
}

export type StripeEvent = {
  readonly id: string
  readonly type: string
  readonly [name: string]: unknown
}

/** An event about a thing as it stands now; by the time it arrives it may have moved on. */
export const eventOf = (type: string, thing: Thing, more: object = {}): StripeEvent => ({
  id: newStripeId('evt'),
  object: 'event',
  api_version: '2024-06-20',
  created: nowSeconds(),
  livemode: false,
  type,
  data: { object: structuredClone(thing) },
  ...more,
})

export type Signing = {
  readonly secret: string
  /** Seconds since the epoch. */
  readonly timestamp?: number
}

/** A call as Stripe would make it. */
export const signed = (event: StripeEvent | string, { secret, timestamp }: Signing) => {
  const payload = typeof event === 'string' ? event : JSON.stringify(event)
  const header = Stripe.webhooks.generateTestHeaderString({
    payload,
    secret,
    ...(timestamp !== undefined && { timestamp }),
  })
  return { payload, headers: { 'stripe-signature': header } }
}

/** A shuffle that its seed repeats. */
export const shuffled = <T>(items: readonly T[], random: () => number): T[] => {
  const left = [...items]
  for (let i = left.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1))
    const [a, b] = [left[i] as T, left[j] as T]
    left[i] = b
    left[j] = a
  }
  return left
}

/** Mulberry32: small, and the same on every machine. */
export const randomFrom = (seed: number) => {
  let state = seed
  return (): number => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}
