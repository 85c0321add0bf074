import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { callerOf, markReplay } from '../../http/once.js'
import { contract } from '../../http/route.js'
import { accountParams } from '../../http/schema.js'
import { spendingErrors } from '../spending-errors.js'
import { transaction } from '../transaction.js'
import { chargeBody, estimate, refundBody } from './schema.js'
import type { Charges } from './service.js'
import { refuseSessionCost } from './session-cost.js'

export const chargeRoutes: FastifyPluginAsyncZod<{ charges: Charges }> = async (
  app,
  { charges },
) => {
  app.post('/v1/accounts/:accountId/charges', createCharge, async (request, reply) => {
    const { accountId } = request.params
    refuseSessionCost(request.actor, request.body)
    const caller = callerOf(request)
    if (request.body.dryRun) {
      return reply.code(200).send(await charges.estimate(caller, accountId, request.body))
    }
    const written = await charges.charge(caller, accountId, request.body)
    if (written.isReplay) markReplay(request, reply)
    return reply.code(201).send(written.transaction)
  })

  app.post('/v1/accounts/:accountId/refunds', createRefund, async (request, reply) => {
    const { params, body } = request
    const written = await charges.refund(callerOf(request), params.accountId, body)
    if (written.isReplay) markReplay(request, reply)
    return reply.code(201).send(written.transaction)
  })
}

const createCharge = contract({
  config: {
    access: { scopes: 'credits:write', session: 'own' },
    audit: { action: 'charge', record: 'ledger' },
    errors: spendingErrors,
  },
  schema: {
    operationId: 'createCharge',
    tags: ['Charges'],
    summary: 'Charge an account',
    description:
      'Takes credits, either `amount` as it stands or what the price list says of `action` ' +
      'with its `quantity` and `variables`. The reply tells which grants paid. With `dryRun` ' +
      'nothing is written and the reply is an estimate. A session charges by `action` alone, ' +
      'and with no variable below 0.',
    params: accountParams,
    body: chargeBody,
    response: { 201: transaction, 200: estimate },
  },
})

const createRefund = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'refund', record: 'ledger' },
    errors: [
      'account_not_found',
      'transaction_not_found',
      'refund_exceeds_charge',
      'account_closed',
      'limit_exceeded',
    ],
  },
  schema: {
    operationId: 'createRefund',
    tags: ['Charges'],
    summary: 'Refund a charge',
    description:
      'Gives a charge or a captured hold back, wholly or in part, into the grants that paid ' +
      'it, last payer first. All refunds of a charge together never exceed it. What goes into ' +
      'an expired grant expires at once.',
    params: accountParams,
    body: refundBody,
    response: { 201: transaction },
  },
})
