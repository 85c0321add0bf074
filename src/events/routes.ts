import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { Beside } from '../db/transaction.js'
import type { Once } from '../http/once.js'
import { contract } from '../http/route.js'
import type { Endpoints } from './endpoints.js'
import type { Feed } from './feed.js'
import type { EndpointView, NewEndpointView } from './schema.js'
import * as schema from './schema.js'
import type { Undelivered } from './undelivered.js'

const tags = ['Events']
const ONCE_SHOWN =
  ' The reply holds the secret, this once: a repeat under the same idempotency key is refused ' +
  'with `secret_not_replayed`.'

export type EventServices = {
  readonly feed: Feed
  readonly endpoints: Endpoints
  readonly undelivered: Undelivered
}
export type EventRoutesDeps = { readonly events: EventServices; readonly once: Once }

export const eventRoutes: FastifyPluginAsyncZod<EventRoutesDeps> = async (app, deps) => {
  const { once } = deps
  const { feed, endpoints, undelivered } = deps.events
  const isSecret = { isSecret: true } as const

  app.get('/v1/events', listEvents, ({ query }) => feed.list(query))

  app.get('/v1/webhook-endpoints', listEndpoints, async () => ({
    webhookEndpoints: [...(await endpoints.list())],
    nextCursor: null,
  }))

  app.post('/v1/webhook-endpoints', createEndpoint, (request, reply) =>
    once<NewEndpointView>(
      request,
      reply,
      async (_caller, keep) => {
        const beside: Beside<NewEndpointView> = (tx, body) => keep(tx, { status: 201, body })
        return { status: 201, body: await endpoints.create(request.body, beside) }
      },
      isSecret,
    ),
  )

  app.get('/v1/webhook-endpoints/:id', getEndpoint, ({ params }) => endpoints.get(params.id))

  app.delete('/v1/webhook-endpoints/:id', deleteEndpoint, (request, reply) =>
    once<EndpointView>(request, reply, async (_caller, keep) => {
      const beside: Beside<EndpointView> = (tx, body) => keep(tx, { status: 200, body })
      return { status: 200, body: await endpoints.remove(request.params.id, beside) }
    }),
  )

  app.post('/v1/webhook-endpoints/:id/rotate', rotateSecret, (request, reply) =>
    once<NewEndpointView>(
      request,
      reply,
      async (_caller, keep) => {
        const beside: Beside<NewEndpointView> = (tx, body) => keep(tx, { status: 200, body })
        return { status: 200, body: await endpoints.rotate(request.params.id, beside) }
      },
      isSecret,
    ),
  )

  app.post('/v1/webhook-endpoints/:id/enable', enableEndpoint, (request, reply) =>
    once<EndpointView>(request, reply, async (_caller, keep) => {
      const beside: Beside<EndpointView> = (tx, body) => keep(tx, { status: 200, body })
      return { status: 200, body: await endpoints.enable(request.params.id, beside) }
    }),
  )

  app.get('/v1/webhook-endpoints/:id/deliveries', listDeliveries, async ({ params, query }) => {
    const { items, nextCursor } = await undelivered.list(params.id, query)
    return { deliveries: [...items], nextCursor }
  })
}

const listEvents = contract({
  config: { access: 'credits:read', limit: 'search', errors: ['events_pruned'] },
  schema: {
    operationId: 'listEvents',
    tags,
    summary: 'Read what has happened',
    description:
      'Oldest first: keep `nextCursor` and ask again `after` it, at once while there is more ' +
      'and every few seconds otherwise. No event is ever skipped: one is given its position ' +
      'when it is committed, within a second or so, and none comes before one that was given. ' +
      'Of an account, `accountSeq` counts its events in the order of what happened. With a ' +
      'filter, a page may be empty although there is more. What is older than ' +
      '`EVENT_RETENTION_DAYS` goes: who asks for what has gone is told so by `events_pruned`, ' +
      'and how far; without `after` the feed begins with the oldest event that is kept.',
    querystring: schema.feedQuery,
    response: { 200: schema.feed },
  },
})

const listEndpoints = contract({
  config: { access: 'admin', limit: 'search' },
  schema: {
    operationId: 'listWebhookEndpoints',
    tags,
    summary: 'List the webhook endpoints',
    description: 'Oldest first, all of them: there are at most 20.',
    response: { 200: schema.endpoints },
  },
})

const createEndpoint = contract({
  config: {
    access: 'admin',
    audit: { action: 'webhook_endpoint_create', record: 'act' },
    errors: ['secret_not_replayed', 'limit_exceeded'],
  },
  schema: {
    operationId: 'createWebhookEndpoint',
    tags,
    summary: 'Make a webhook endpoint',
    description:
      'It is sent what happens from then on, signed as Standard Webhooks has it, at least once ' +
      'and in parallel: `accountSeq` tells the order. Any 2xx within 15 seconds takes an event; ' +
      'otherwise it is tried again for three days. The address must be public, and is looked at ' +
      `again at every connection.${ONCE_SHOWN}`,
    body: schema.endpointBody,
    response: { 201: schema.newEndpoint },
  },
})

const getEndpoint = contract({
  config: { access: 'admin', limit: 'search', errors: ['webhook_endpoint_not_found'] },
  schema: {
    operationId: 'getWebhookEndpoint',
    tags,
    summary: 'Read a webhook endpoint',
    description: 'How it is and when it last took an event; never its secret.',
    params: schema.endpointParams,
    response: { 200: schema.endpoint },
  },
})

const deleteEndpoint = contract({
  config: {
    access: 'admin',
    audit: { action: 'webhook_endpoint_delete', record: 'act' },
    errors: ['webhook_endpoint_not_found'],
  },
  schema: {
    operationId: 'deleteWebhookEndpoint',
    tags,
    summary: 'Delete a webhook endpoint',
    description: 'Nothing more is sent to it, apart from what is under way. Answers what it was.',
    params: schema.endpointParams,
    body: schema.emptyBody,
    response: { 200: schema.endpoint },
  },
})

const rotateSecret = contract({
  config: {
    access: 'admin',
    audit: { action: 'webhook_endpoint_rotate', record: 'act' },
    errors: ['webhook_endpoint_not_found', 'secret_not_replayed'],
  },
  schema: {
    operationId: 'rotateWebhookSecret',
    tags,
    summary: 'Give a webhook endpoint a new secret',
    description:
      'For 24 hours its deliveries are signed with the secret before as well, so that a receiver ' +
      'verifies with either; a secret before that one signs no more.' +
      ONCE_SHOWN,
    params: schema.endpointParams,
    body: schema.emptyBody,
    response: { 200: schema.newEndpoint },
  },
})

const enableEndpoint = contract({
  config: {
    access: 'admin',
    audit: { action: 'webhook_endpoint_enable', record: 'act' },
    errors: ['webhook_endpoint_not_found'],
  },
  schema: {
    operationId: 'enableWebhookEndpoint',
    tags,
    summary: 'Switch a webhook endpoint on again',
    description:
      'After it answered 410, or failed for five days. What was waiting then is sent; what ' +
      'happened while it was off stands in the feed.',
    params: schema.endpointParams,
    body: schema.emptyBody,
    response: { 200: schema.endpoint },
  },
})

const listDeliveries = contract({
  config: { access: 'admin', limit: 'search', errors: ['webhook_endpoint_not_found'] },
  schema: {
    operationId: 'listWebhookDeliveries',
    tags,
    summary: 'List what an endpoint has not taken',
    description: 'Newest first: what waits to be sent (again), and what was given up.',
    params: schema.endpointParams,
    querystring: schema.deliveryQuery,
    response: { 200: schema.deliveries },
  },
})
