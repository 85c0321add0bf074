import type { FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { contract } from '../../http/route.js'
import type { ProviderName } from '../../payment-facts.js'
import * as schema from './schema.js'
import type { Inbox } from './service.js'

const tags = ['Purchases']
const HOW =
  ' The body is taken byte by byte as it was signed; an event is kept once, however often it ' +
  'comes, and answered before anything is done with it. Types that mean nothing here, and events ' +
  "of the other mode (test or live) than that of the deployment's API key, are kept and ignored. " +
  'An event whose signature is right is not counted against the limit.'

export type WebhookRoutesDeps = { readonly inbox: Inbox }

/** In a scope of its own: nothing else may look at the body before the signature has been. */
export const webhookRoutes: FastifyPluginAsyncZod<WebhookRoutesDeps> = async (app, { inbox }) => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.addHook('onResponse', (_request, reply, done) => {
    if (reply.statusCode === 200) inbox.wake()
    done()
  })
  app.addHook('onClose', () => inbox.close())

  const receive = async (provider: ProviderName, { body, headers }: FastifyRequest) => {
    await inbox.receive(provider, {
      body: Buffer.isBuffer(body) ? body : Buffer.alloc(0),
      headers,
    })
    return { received: true } as const
  }

  app.post('/v1/webhooks/stripe', receiveStripeEvent, (request) => receive('stripe', request))

  app.post('/v1/webhooks/creem', receiveCreemEvent, (request) => receive('creem', request))
}

const config = {
  access: 'public',
  limit: 'webhook',
  audit: { action: 'webhook_receive', record: 'refusals' },
  errors: ['invalid_signature', 'not_found', 'database_unavailable', 'outcome_unknown'],
} as const

const receiveStripeEvent = contract({
  config,
  bodyLimit: schema.EVENT_LIMIT_BYTES,
  schema: {
    operationId: 'receiveStripeEvent',
    tags,
    summary: 'Take an event of Stripe',
    description:
      'For Stripe alone, which signs each call by `Stripe-Signature` with the secret of the ' +
      'endpoint; a signature older than five minutes, or of the future, is refused.' +
      HOW,
    body: schema.stripeEvent,
    response: { 200: schema.received },
  },
})

const receiveCreemEvent = contract({
  config,
  bodyLimit: schema.EVENT_LIMIT_BYTES,
  schema: {
    operationId: 'receiveCreemEvent',
    tags,
    summary: 'Take an event of Creem',
    description:
      'For Creem alone, which signs each call by `creem-signature` with the secret of the ' +
      'webhook.' +
      HOW,
    body: schema.creemEvent,
    response: { 200: schema.received },
  },
})
