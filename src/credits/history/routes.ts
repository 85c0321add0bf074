import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { ownerOf } from '../../http/actor.js'
import { contract } from '../../http/route.js'
import { accountParams } from '../../http/schema.js'
import { transaction } from '../transaction.js'
import * as schema from './schema.js'
import type { History } from './service.js'

const tags = ['History']

export const historyRoutes: FastifyPluginAsyncZod<{ history: History }> = async (
  app,
  { history },
) => {
  app.get('/v1/accounts/:accountId/transactions', listTransactions, async ({ params, query }) => {
    const { items, nextCursor } = await history.list(params.accountId, query)
    return { transactions: [...items], nextCursor }
  })

  app.get('/v1/transactions/:transactionId', getTransaction, async ({ params, actor }) =>
    history.get(params.transactionId, ownerOf(actor)),
  )

  app.get('/v1/accounts/:accountId/usage', getUsage, async ({ params, query }) =>
    history.usage(params.accountId, query),
  )
}

const listTransactions = contract({
  config: {
    access: { scopes: 'credits:read', session: 'own' },
    limit: 'search',
    errors: ['account_not_found'],
  },
  schema: {
    operationId: 'listTransactions',
    tags,
    summary: 'List the transactions of an account',
    description:
      'Newest first; `from` and `to` are inclusive. Pages neither lose nor repeat a transaction ' +
      'while others are written.',
    params: accountParams,
    querystring: schema.historyQuery,
    response: { 200: schema.transactions },
  },
})

const getTransaction = contract({
  config: {
    access: { scopes: 'credits:read', session: 'narrowed' },
    limit: 'search',
    errors: ['transaction_not_found'],
  },
  schema: {
    operationId: 'getTransaction',
    tags,
    summary: 'Read a transaction',
    description: 'One transaction by its id.',
    params: schema.transactionParams,
    response: { 200: transaction },
  },
})

const getUsage = contract({
  config: {
    access: { scopes: 'credits:read', session: 'own' },
    limit: 'search',
    errors: ['account_not_found', 'limit_exceeded'],
  },
  schema: {
    operationId: 'getUsage',
    tags,
    summary: 'Report what was used',
    description:
      'Charges, captures and refunds of an account by action or by day. More than ' +
      '10,000 groups are refused: ask for a shorter period.',
    params: accountParams,
    querystring: schema.usageQuery,
    response: { 200: schema.usage },
  },
})
