import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { Once } from '../http/once.js'
import { contract } from '../http/route.js'
import { accountParams } from '../http/schema.js'
import * as schema from './subscription-schema.js'
import type { Subscriptions } from './subscriptions.js'

export type SubscriptionRoutesDeps = {
  readonly subscriptions: Subscriptions
  readonly once: Once
}

const PATH = '/v1/accounts/:accountId/subscription'

export const subscriptionRoutes: FastifyPluginAsyncZod<SubscriptionRoutesDeps> = async (
  app,
  { subscriptions, once },
) => {
  app.put(PATH, putSubscription, (request, reply) =>
    once<schema.SubscriptionView>(request, reply, async () => ({
      status: 200,
      body: await subscriptions.put(request.params.accountId, request.body),
    })),
  )

  app.get(PATH, getSubscription, async ({ params }) => subscriptions.get(params.accountId))

  app.delete(PATH, cancelSubscription, (request, reply) =>
    once<schema.SubscriptionView>(request, reply, async () => ({
      status: 200,
      body: await subscriptions.cancel(request.params.accountId),
    })),
  )
}

const tags = ['Plans']

const putSubscription = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'subscription_put', record: 'act' },
    errors: [
      'account_not_found',
      'account_closed',
      'plan_not_found',
      'plan_inactive',
      'provider_refused',
      'limit_exceeded',
    ],
  },
  schema: {
    operationId: 'putSubscription',
    tags,
    summary: 'Subscribe an account to a plan',
    description:
      'Allocates the credits of the first monthly period and sets the tier; a job does so for ' +
      'each later period. Of an account that has a plan: a plan with as many credits or more ' +
      'counts at once and brings the difference for the rest of the period, one with fewer ' +
      'from the next period on; the same plan resumes what was canceled. With `provider` and ' +
      '`providerSubscriptionId` the credits come with its payments. What a provider bills is ' +
      'changed there, unless `"provider": null` takes it over.',
    params: accountParams,
    body: schema.subscriptionBody,
    response: { 200: schema.subscription },
  },
})

const getSubscription = contract({
  config: {
    access: { scopes: 'credits:read', session: 'own' },
    errors: ['account_not_found', 'subscription_not_found'],
  },
  schema: {
    operationId: 'getSubscription',
    tags,
    summary: 'Read the subscription of an account',
    description: 'The plan, and the period that is running; also after it has ended.',
    params: accountParams,
    response: { 200: schema.subscription },
  },
})

const cancelSubscription = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'subscription_cancel', record: 'act' },
    errors: ['account_not_found', 'account_closed', 'subscription_not_found'],
  },
  schema: {
    operationId: 'cancelSubscription',
    tags,
    summary: 'Cancel the subscription of an account',
    description:
      'It ends with the period that is running, or with what was paid: credits and tier stay ' +
      'until then. What a provider bills has to be canceled there as well.',
    params: accountParams,
    response: { 200: schema.subscription },
  },
})
