import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { callerOf, markReplay } from '../../http/once.js'
import { decodeCursor, isSeq } from '../../http/page.js'
import { contract } from '../../http/route.js'
import { accountParams, pageQuery } from '../../http/schema.js'
import { transaction } from '../transaction.js'
import * as schema from './schema.js'
import type { Grants } from './service.js'

const tags = ['Grants']

export const grantRoutes: FastifyPluginAsyncZod<{ grants: Grants }> = async (app, { grants }) => {
  app.post('/v1/accounts/:accountId/grants', createGrant, async (request, reply) => {
    const { params, body } = request
    const written = await grants.grant(callerOf(request), params.accountId, body)
    if (written.isReplay) markReplay(request, reply)
    return reply.code(201).send(written.transaction)
  })

  app.get('/v1/accounts/:accountId/grants', listGrants, async ({ params, query }) => {
    const beforeSeq = decodeCursor(query.cursor, isSeq)
    const { limit } = query
    const { items, nextCursor } = await grants.list(params.accountId, { beforeSeq, limit })
    return { grants: [...items], nextCursor }
  })

  app.delete('/v1/accounts/:accountId/grants/:grantId', revokeGrant, async (request, reply) => {
    const written = await grants.revoke(callerOf(request), request.params, request.body)
    if (written.isReplay) markReplay(request, reply)
    return reply.code(201).send(written.transaction)
  })
}

const createGrant = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'grant', record: 'ledger' },
    errors: ['account_not_found', 'account_closed', 'limit_exceeded'],
  },
  schema: {
    operationId: 'createGrant',
    tags,
    summary: 'Grant credits',
    description:
      'Adds credits as a lot of their own, with its own source, priority and expiry. Debt is ' +
      'paid from them first.',
    params: accountParams,
    body: schema.grantBody,
    response: { 201: transaction },
  },
})

const listGrants = contract({
  config: {
    access: { scopes: 'credits:read', session: 'own' },
    limit: 'search',
    errors: ['account_not_found'],
  },
  schema: {
    operationId: 'listGrants',
    tags,
    summary: 'List the grants of an account',
    description: 'All lots of the account, newest first, spent and expired ones too.',
    params: accountParams,
    querystring: pageQuery,
    response: { 200: schema.grants },
  },
})

const revokeGrant = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'revoke', record: 'ledger' },
    errors: ['account_not_found', 'grant_not_found', 'grant_revoked', 'account_closed'],
  },
  schema: {
    operationId: 'revokeGrant',
    tags,
    summary: 'Revoke a grant',
    description:
      'Takes what is left of a grant away. Credits that a hold has reserved stay until it is ' +
      'settled, and leave then. What was spent stays spent.',
    params: schema.grantParams,
    body: schema.revokeBody,
    response: { 201: transaction },
  },
})
