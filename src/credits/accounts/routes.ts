import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { Once } from '../../http/once.js'
import { decodeCursor, isText } from '../../http/page.js'
import { contract } from '../../http/route.js'
import { accountParams } from '../../http/schema.js'
import * as schema from './schema.js'
import type { Accounts } from './service.js'

const tags = ['Accounts']

export type AccountRoutesDeps = { readonly accounts: Accounts; readonly once: Once }

export const accountRoutes: FastifyPluginAsyncZod<AccountRoutesDeps> = async (app, deps) => {
  const { accounts, once } = deps

  app.put('/v1/accounts/:accountId', putAccount, (request, reply) =>
    once(request, reply, async (caller) => {
      const { params, body } = request
      const { account, isNew } = await accounts.put(caller, params.accountId, body)
      return { status: isNew ? 201 : 200, body: account }
    }),
  )

  app.get('/v1/accounts/:accountId', getAccount, async ({ params }) =>
    accounts.get(params.accountId),
  )

  app.get('/v1/accounts', listAccounts, async ({ query }) => {
    const { cursor, limit, email = null, tier = null } = query
    const after = decodeCursor(cursor, isText)
    const { items, nextCursor } = await accounts.list({ after, limit, email, tier })
    return { accounts: [...items], nextCursor }
  })

  app.delete('/v1/accounts/:accountId', closeAccount, (request, reply) =>
    once(request, reply, async (caller) => ({
      status: 200,
      body: await accounts.close(caller, request.params.accountId),
    })),
  )

  app.get('/v1/accounts/:accountId/balance', getBalance, async ({ params, query }) =>
    accounts.balance(params.accountId, query.at),
  )
}

const putAccount = contract({
  config: {
    access: 'admin',
    audit: { action: 'account_put', record: 'act' },
    errors: ['account_closed'],
  },
  schema: {
    operationId: 'putAccount',
    tags,
    summary: 'Open or change an account',
    description:
      'Opens the account when it does not exist, with the signup bonus if there is one, or ' +
      'changes what is known of it: a field that is absent stays, null clears it. 201 when the ' +
      'account was opened.',
    params: accountParams,
    body: schema.accountBody,
    response: { 200: schema.account, 201: schema.account },
  },
})

const getAccount = contract({
  config: { access: { scopes: 'credits:read', session: 'own' }, errors: ['account_not_found'] },
  schema: {
    operationId: 'getAccount',
    tags,
    summary: 'Read an account',
    description: 'The account with its status, membership and balance.',
    params: accountParams,
    response: { 200: schema.account },
  },
})

const listAccounts = contract({
  config: { access: 'credits:read', limit: 'search' },
  schema: {
    operationId: 'listAccounts',
    tags,
    summary: 'List accounts',
    description: 'By account id; by e-mail address or tier when asked.',
    querystring: schema.accountQuery,
    response: { 200: schema.accounts },
  },
})

const closeAccount = contract({
  config: {
    access: 'admin',
    audit: { action: 'account_close', record: 'act' },
    errors: ['account_not_found'],
  },
  schema: {
    operationId: 'closeAccount',
    tags,
    summary: 'Close an account',
    description:
      'Closes the account for good: its holds are released and every later write is refused. ' +
      'Its history stays.',
    params: accountParams,
    body: schema.standingBody,
    response: { 200: schema.account },
  },
})

const getBalance = contract({
  config: { access: { scopes: 'credits:read', session: 'own' }, errors: ['account_not_found'] },
  schema: {
    operationId: 'getBalance',
    tags,
    summary: 'Read the balance',
    description: 'What the account has now, or had at an instant.',
    params: accountParams,
    querystring: schema.balanceQuery,
    response: { 200: schema.balance },
  },
})
