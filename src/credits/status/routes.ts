import type { FastifyReply } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { endUserOf } from '../../http/rate-limit-subject.js'
import { contract } from '../../http/route.js'
import * as schema from './schema.js'
import type { CreditStatus } from './service.js'

const tags = ['Credits']

export type StatusRoutesDeps = { readonly status: CreditStatus }

export const statusRoutes: FastifyPluginAsyncZod<StatusRoutesDeps> = async (app, { status }) => {
  // the framework answers HEAD with the same headers
  app.get('/v1/credits/status', getStatus, async (request, reply) => {
    const { actor, query } = request
    const endUser = endUserOf(request, actor)
    const told = await status.tell({ actor, endUser, accountId: query.accountId ?? null })
    tellInHeaders(reply, told)
    return told
  })
}

function tellInHeaders(reply: FastifyReply, told: schema.Status): void {
  reply.header('cache-control', 'no-store')
  reply.header('vary', 'authorization, on-behalf-of')
  reply.header('x-credit-purchases-enabled', String(told.purchasesEnabled))
  reply.header('x-credit-rollover', String(told.rollover))
  if (told.balance === null) return
  reply.header('x-credit-balance', String(told.balance.balance))
  reply.header('x-credit-available', String(told.balance.available))
}

const getStatus = contract({
  config: {
    access: { anybody: true, scopes: 'credits:read', session: 'narrowed' },
    errors: ['account_not_found'],
  },
  schema: {
    operationId: 'getCreditStatus',
    tags,
    summary: 'Tell how the credit system is run',
    description:
      'The version in force, whether credits can be bought, whether unused credits of plans roll ' +
      'over; to a session the balance of its account too, to an API key that of the account ' +
      'named by `accountId` or `On-Behalf-Of`. HEAD tells the same in headers: ' +
      '`X-Credit-System-Version`, `X-Rollback-Mode`, `X-Credit-Purchases-Enabled`, ' +
      '`X-Credit-Rollover`, and where a balance is told `X-Credit-Balance` and ' +
      '`X-Credit-Available`. A credential that is none counts as none, but for a balance that ' +
      'is asked for by name: that is a 401.',
    querystring: schema.statusQuery,
    response: { 200: schema.status },
  },
})
