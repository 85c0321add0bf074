import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { callerOf, markReplay, type Once } from '../../http/once.js'
import { contract } from '../../http/route.js'
import { accountParams } from '../../http/schema.js'
import { account, membershipBody, standingBody } from '../accounts/schema.js'
import type { Accounts } from '../accounts/service.js'
import { transaction } from '../transaction.js'
import * as schema from './schema.js'
import type { Corrections } from './service.js'

const tags = ['Corrections']

export type CorrectionRoutesDeps = {
  readonly accounts: Accounts
  readonly corrections: Corrections
  readonly once: Once
}

export const correctionRoutes: FastifyPluginAsyncZod<CorrectionRoutesDeps> = async (app, deps) => {
  const { accounts, corrections, once } = deps

  app.post('/v1/accounts/:accountId/adjustments', createAdjustment, async (request, reply) => {
    const { params, body } = request
    const written = await corrections.adjust(callerOf(request), params.accountId, body)
    if (written.isReplay) markReplay(request, reply)
    return reply.code(201).send(written.transaction)
  })

  app.post('/v1/transfers', createTransfer, async (request, reply) => {
    const written = await corrections.transfer(callerOf(request), request.body)
    if (written.isReplay) markReplay(request, reply)
    return reply.code(201).send(written.transaction)
  })

  app.post('/v1/accounts/:accountId/freeze', freezeAccount, (request, reply) =>
    once(request, reply, async (caller) => ({
      status: 200,
      body: await accounts.freeze(caller, request.params.accountId),
    })),
  )

  app.post('/v1/accounts/:accountId/unfreeze', unfreezeAccount, (request, reply) =>
    once(request, reply, async (caller) => ({
      status: 200,
      body: await accounts.unfreeze(caller, request.params.accountId),
    })),
  )

  app.put('/v1/accounts/:accountId/membership', setMembership, (request, reply) =>
    once(request, reply, async (caller) => {
      const { params, body } = request
      return { status: 200, body: await accounts.setMembership(caller, params.accountId, body) }
    }),
  )
}

const createAdjustment = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'adjustment', record: 'ledger' },
    errors: ['account_not_found', 'account_closed', 'insufficient_credits', 'limit_exceeded'],
  },
  schema: {
    operationId: 'createAdjustment',
    tags,
    summary: 'Adjust a balance',
    description: 'Adds credits (as a bonus grant) or takes them, by hand and with a reason.',
    params: accountParams,
    body: schema.adjustmentBody,
    response: { 201: transaction },
  },
})

const createTransfer = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'transfer_out', record: 'ledger' },
    errors: [
      'account_not_found',
      'account_frozen',
      'account_closed',
      'insufficient_credits',
      'limit_exceeded',
    ],
  },
  schema: {
    operationId: 'createTransfer',
    tags,
    summary: 'Transfer credits to another account',
    description:
      'The reply is the transaction of the account that gives. The credits keep their source, ' +
      'priority and expiry. They arrive with the reply or, after a failure, a moment later; if ' +
      'the other account is closed by then, they come back.',
    body: schema.transferBody,
    response: { 201: transaction },
  },
})

const freezeAccount = contract({
  config: {
    access: 'admin',
    audit: { action: 'account_freeze', record: 'act' },
    errors: ['account_not_found', 'account_closed'],
  },
  schema: {
    operationId: 'freezeAccount',
    tags,
    summary: 'Freeze an account',
    description:
      'A frozen account can not spend: charges, holds, their extension, captures above what ' +
      'is held and outgoing transfers are refused with `account_frozen`. Grants, refunds, ' +
      'releases and captures within the hold go on.',
    params: accountParams,
    body: standingBody,
    response: { 200: account },
  },
})

const unfreezeAccount = contract({
  config: {
    access: 'admin',
    audit: { action: 'account_unfreeze', record: 'act' },
    errors: ['account_not_found', 'account_closed'],
  },
  schema: {
    operationId: 'unfreezeAccount',
    tags,
    summary: 'Unfreeze an account',
    description: 'The account can spend again.',
    params: accountParams,
    body: standingBody,
    response: { 200: account },
  },
})

const setMembership = contract({
  config: {
    access: 'grants:write',
    audit: { action: 'membership_set', record: 'act' },
    errors: ['account_not_found', 'account_closed'],
  },
  schema: {
    operationId: 'setMembership',
    tags: ['Membership'],
    summary: 'Set the membership of an account',
    description:
      'Upgrades, downgrades or ends it. No credit changes. An expired membership is none, for ' +
      'access and for prices.',
    params: accountParams,
    body: membershipBody,
    response: { 200: account },
  },
})
