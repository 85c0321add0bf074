import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { contract } from '../http/route.js'
import * as schema from './schema.js'
import type { Limits } from './service.js'

const tags = ['Rate limits']

export const limitRoutes: FastifyPluginAsyncZod<{ limits: Limits }> = async (app, { limits }) => {
  app.get('/v1/rate-limits', listRateLimits, async () => ({
    rateLimits: limits.list(),
    nextCursor: null,
  }))

  app.post('/v1/rate-limits/:policy/check', checkRateLimit, async ({ params, body }) =>
    limits.check(params.policy, body.identity, body.cost),
  )

  app.get('/v1/rate-limits/:policy/:identity', peekRateLimit, async ({ params }) =>
    limits.peek(params.policy, params.identity),
  )
}

const listRateLimits = contract({
  config: { access: ['credits:read', 'limits:write'], limit: 'search' },
  schema: {
    operationId: 'listRateLimits',
    tags,
    summary: 'List the policies',
    description: 'What each policy allows, as it is set in this service.',
    response: { 200: schema.rateLimits },
  },
})

const checkRateLimit = contract({
  config: {
    access: 'limits:write',
    errors: ['not_found'],
    audit: { action: 'rate_limit_check', record: 'refusals' },
  },
  schema: {
    operationId: 'checkRateLimit',
    tags,
    summary: 'Count a unit and ask whether it is allowed',
    description:
      'Takes `cost` units of a policy for an identity of yours, all or none: 200, allowed or ' +
      'not. More than the limit itself is a 400. ' +
      'Exact over all callers and instances. The counts are apart from those of the API itself. ' +
      'An idempotency key does nothing here: a repeat takes again.',
    params: schema.policyParams,
    body: schema.checkBody,
    response: { 200: schema.limitCheck },
  },
})

const peekRateLimit = contract({
  config: { access: ['credits:read', 'limits:write'], errors: ['not_found'] },
  schema: {
    operationId: 'peekRateLimit',
    tags,
    summary: 'See how an identity stands',
    description: 'What a check of one unit would say now. Nothing is taken.',
    params: schema.identityParams,
    response: { 200: schema.limitCheck },
  },
})
