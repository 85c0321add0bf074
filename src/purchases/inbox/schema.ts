import { z } from 'zod'

/** Events of providers are small; some carry whole invoices. */
export const EVENT_LIMIT_BYTES = 1024 * 1024

/** Read byte by byte, since that is what the signature is of. */
const event = (description: string, example: object) =>
  z.unknown().meta({ description, examples: [example] })

export const stripeEvent = event('An event of Stripe, as it comes.', {
  id: 'evt_1Qk2Zf',
  object: 'event',
  type: 'checkout.session.completed',
  created: 1795255200,
  livemode: true,
  data: { object: { id: 'cs_live_a1b2', object: 'checkout.session' } },
})

export const creemEvent = event('An event of Creem, as it comes.', {
  id: 'evt_5WHHcZPv7VS0YUsberIuOz',
  eventType: 'checkout.completed',
  created_at: 1795255200000,
  object: { id: 'ch_4l0N34kxo16AhRKUHFUuXr', object: 'checkout' },
})

export const received = z
  .object({ received: z.literal(true) })
  .meta({ description: 'It is kept.', examples: [{ received: true }] })
