import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { callerOf, markReplay } from '../../http/once.js'
import { decodeCursor, isSeq } from '../../http/page.js'
import { contract } from '../../http/route.js'
import { accountParams } from '../../http/schema.js'
import { refuseSessionCost } from '../charges/session-cost.js'
import { spendingErrors } from '../spending-errors.js'
import { transaction } from '../transaction.js'
import * as schema from './schema.js'
import type { Holds } from './service.js'

const tags = ['Holds']
const settlementErrors = ['account_not_found', 'hold_not_found', 'hold_not_active'] as const

export const holdRoutes: FastifyPluginAsyncZod<{ holds: Holds }> = async (app, { holds }) => {
  await app.register(settlementRoutes, { holds })

  app.post('/v1/accounts/:accountId/holds', createHold, async (request, reply) => {
    const { params, body } = request
    refuseSessionCost(request.actor, body)
    const written = await holds.hold(callerOf(request), params.accountId, body)
    if (written.isReplay) markReplay(request, reply)
    return reply.code(201).send(written.transaction)
  })

  app.get('/v1/accounts/:accountId/holds', listHolds, async ({ params, query }) => {
    const beforeSeq = decodeCursor(query.cursor, isSeq)
    const { limit, status = null } = query
    const { items, nextCursor } = await holds.list(params.accountId, { beforeSeq, limit, status })
    return { holds: [...items], nextCursor }
  })

  app.get('/v1/accounts/:accountId/holds/:holdId', getHold, async ({ params }) => holds.get(params))
}

const settlementRoutes: FastifyPluginAsyncZod<{ holds: Holds }> = async (app, { holds }) => {
  app.post('/v1/accounts/:accountId/holds/:holdId/capture', captureHold, async (request, reply) => {
    const written = await holds.capture(callerOf(request), request.params, request.body)
    if (written.isReplay) markReplay(request, reply)
    return written.transaction
  })

  app.post('/v1/accounts/:accountId/holds/:holdId/release', releaseHold, async (request, reply) => {
    const written = await holds.release(callerOf(request), request.params, request.body)
    if (written.isReplay) markReplay(request, reply)
    return written.transaction
  })

  app.post('/v1/accounts/:accountId/holds/:holdId/extend', extendHold, async (request, reply) => {
    const written = await holds.extend(callerOf(request), request.params, request.body)
    if (written.isReplay) markReplay(request, reply)
    return written.transaction
  })
}

const createHold = contract({
  config: {
    access: { scopes: 'credits:write', session: 'own' },
    limit: 'booking',
    audit: { action: 'hold', record: 'ledger' },
    errors: spendingErrors,
  },
  schema: {
    operationId: 'createHold',
    tags,
    summary: 'Reserve credits',
    description:
      'Reserves credits for a job before it runs, by amount or by the price list. They stay ' +
      'in the balance and can not be spent otherwise. At its deadline a hold ends by itself. A ' +
      'session holds by `action` alone, with no variable below 0, and leaves it to a back end to ' +
      'settle.',
    params: accountParams,
    body: schema.holdBody,
    response: { 201: transaction },
  },
})

const listHolds = contract({
  config: {
    access: { scopes: 'credits:read', session: 'own' },
    limit: 'search',
    errors: ['account_not_found'],
  },
  schema: {
    operationId: 'listHolds',
    tags,
    summary: 'List the holds of an account',
    description: 'Newest first, settled ones too unless `status` says otherwise.',
    params: accountParams,
    querystring: schema.holdQuery,
    response: { 200: schema.holds },
  },
})

const getHold = contract({
  config: { access: { scopes: 'credits:read', session: 'own' }, errors: ['hold_not_found'] },
  schema: {
    operationId: 'getHold',
    tags,
    summary: 'Read a hold',
    description: 'A hold as it is now.',
    params: schema.holdParams,
    response: { 200: schema.hold },
  },
})

const captureHold = contract({
  config: {
    access: 'credits:write',
    audit: { action: 'capture', record: 'ledger' },
    errors: [
      ...settlementErrors,
      'action_not_found',
      'insufficient_credits',
      'account_frozen',
      'account_closed',
      'missing_variable',
      'formula_error',
      'limit_exceeded',
    ],
  },
  schema: {
    operationId: 'captureHold',
    tags,
    summary: 'Charge a hold',
    description:
      'Settles a hold once: charges `amount`, or what the price list says for the ' +
      '`variables` the job came to, or without either the whole hold. What is left of it ' +
      'comes free. Above the hold available credits pay; if they fall short, the hold stays.',
    params: schema.holdParams,
    body: schema.captureBody,
    response: { 200: transaction },
  },
})

const releaseHold = contract({
  config: {
    access: 'credits:write',
    audit: { action: 'release', record: 'ledger' },
    errors: [...settlementErrors, 'account_closed'],
  },
  schema: {
    operationId: 'releaseHold',
    tags,
    summary: 'Give a hold back',
    description: 'Frees all that the hold has reserved.',
    params: schema.holdParams,
    body: schema.releaseBody,
    response: { 200: transaction },
  },
})

const extendHold = contract({
  config: {
    access: 'credits:write',
    audit: { action: 'extend', record: 'ledger' },
    errors: [...settlementErrors, 'account_frozen', 'account_closed'],
  },
  schema: {
    operationId: 'extendHold',
    tags,
    summary: 'Extend a hold',
    description: 'Moves the deadline to `ttlSeconds` from now; never to an earlier time.',
    params: schema.holdParams,
    body: schema.extendBody,
    response: { 200: transaction },
  },
})
