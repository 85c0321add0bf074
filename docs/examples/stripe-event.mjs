/*
 * Tells creditd that a checkout of Stripe was completed, with the signature that Stripe's SDK makes
 * for tests: STRIPE_WEBHOOK_SECRET=whsec_… node docs/examples/stripe-event.mjs cs_test_…
 */
import Stripe from 'stripe'

const [checkout = ''] = process.argv.slice(2)
const { CREDITD_URL = 'http://localhost:3000', STRIPE_WEBHOOK_SECRET: secret = '' } = process.env
const payload = JSON.stringify({
  id: `evt_${checkout}`,
  object: 'event',
  type: 'checkout.session.completed',
  created: Math.floor(Date.now() / 1000),
  livemode: false,
  data: { object: { id: checkout, object: 'checkout.session' } },
})
const signature = Stripe.webhooks.generateTestHeaderString({ payload, secret })
const reply = await fetch(`${CREDITD_URL}/v1/webhooks/stripe`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', 'stripe-signature': signature },
  body: payload,
})
process.stdout.write(`${await reply.text()}\n`)
