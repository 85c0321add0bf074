import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { Beside } from '../../db/transaction.js'
import type { Answer } from '../../http/idempotency.js'
import type { Once } from '../../http/once.js'
import { contract } from '../../http/route.js'
import { accountParams } from '../../http/schema.js'
import type { Access } from './access.js'
import { type Catalogue, IN_FORCE_AFTER_MS } from './catalogue.js'
import type { Tier } from './price-list.js'
import * as schema from './schema.js'

export type TierRoutesDeps = {
  readonly catalogue: Catalogue
  readonly access: Access
  readonly once: Once
}

/** The tiers of membership, and what they open. */
export const tierRoutes: FastifyPluginAsyncZod<TierRoutesDeps> = async (app, deps) => {
  const { access, catalogue, once } = deps

  app.get('/v1/tiers', listTiers, async () => ({
    tiers: [...(await catalogue.listTiers())],
    nextCursor: null,
  }))

  app.put('/v1/tiers', setTiers, (request, reply) =>
    once<TiersReply>(
      request,
      reply,
      async (_caller, keep) => {
        const beside: Beside<readonly Tier[]> = (tx, tiers) => keep(tx, answerOf(tiers))
        return answerOf(await catalogue.putTiers(request.body.tiers, beside))
      },
      { inForceAfterMs: IN_FORCE_AFTER_MS },
    ),
  )

  app.get('/v1/accounts/:accountId/access', getAccess, async ({ params, query }) => {
    const { reason, ...view } = await access.ask(params.accountId, query)
    return { accountId: params.accountId, ...view, ...(reason !== null && { reason }) }
  })
}

type TiersReply = { tiers: Tier[]; nextCursor: null }

const answerOf = (tiers: readonly Tier[]): Answer<TiersReply> => ({
  status: 200,
  body: { tiers: [...tiers], nextCursor: null },
})

const tags = ['Membership']

const listTiers = contract({
  config: { access: { scopes: 'credits:read', session: 'shared' }, limit: 'search' },
  schema: {
    operationId: 'listTiers',
    tags,
    summary: 'List the tiers',
    description: 'The tiers of membership, lowest level first.',
    response: { 200: schema.tiers },
  },
})

const setTiers = contract({
  config: {
    access: 'admin',
    errors: ['tier_in_use'],
    audit: { action: 'tiers_set', record: 'act' },
  },
  schema: {
    operationId: 'setTiers',
    tags,
    summary: 'Replace the tiers',
    description:
      'A tier that a price names can not be left out. Accounts keep the name of one that was; ' +
      'it counts as no membership. The tiers are in force in every instance of the service ' +
      'when the answer comes, about a quarter of a second later.',
    body: schema.tiersBody,
    response: { 200: schema.tiers },
  },
})

const getAccess = contract({
  config: {
    access: { scopes: 'credits:read', session: 'own' },
    errors: ['account_not_found', 'action_not_found'],
  },
  schema: {
    operationId: 'getAccess',
    tags,
    summary: 'Ask whether an account may use an action',
    description:
      'Tells whether a charge for the action would go through now, and what it would cost. ' +
      'Nothing is reserved: a hold does that.',
    params: accountParams,
    querystring: schema.accessQuery,
    response: { 200: schema.access },
  },
})
