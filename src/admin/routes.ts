import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { Beside } from '../db/transaction.js'
import type { Once } from '../http/once.js'
import { decodeCursor } from '../http/page.js'
import { contract } from '../http/route.js'
import type { Verification } from '../ledger/verify.js'
import type { AuditReader } from './audit-reader.js'
import { isKeyPosition, type Keys } from './keys.js'
import type { ApiKey, NewApiKey } from './schema.js'
import * as schema from './schema.js'

const tags = ['Administration']

export type Admin = {
  readonly keys: Keys
  readonly audit: AuditReader
  /** Compares the books of one account, or of all, with themselves. Changes nothing. */
  readonly reconcile: (accountId: string | null, signal?: AbortSignal) => Promise<Verification>
}

export type AdminRoutesDeps = { readonly admin: Admin; readonly once: Once }

export const adminRoutes: FastifyPluginAsyncZod<AdminRoutesDeps> = async (app, deps) => {
  const { once } = deps
  const { keys, audit, reconcile } = deps.admin

  app.post('/v1/api-keys', createApiKey, (request, reply) =>
    once<NewApiKey>(
      request,
      reply,
      async (_caller, keep) => {
        const beside: Beside<NewApiKey> = (tx, body) => keep(tx, { status: 201, body })
        return { status: 201, body: await keys.create(request.body, beside) }
      },
      { isSecret: true },
    ),
  )

  app.get('/v1/api-keys', listApiKeys, async ({ query }) => {
    const after = decodeCursor(query.cursor, isKeyPosition)
    const { items, nextCursor } = await keys.list({ after, limit: query.limit })
    return { apiKeys: [...items], nextCursor }
  })

  app.delete('/v1/api-keys/:id', revokeApiKey, (request, reply) =>
    once<ApiKey>(request, reply, async (_caller, keep) => {
      const beside: Beside<ApiKey> = (tx, body) => keep(tx, { status: 200, body })
      return { status: 200, body: await keys.revoke(request.params.id, beside) }
    }),
  )

  app.get('/v1/audit-log', listAuditLog, async ({ query }) => {
    const { items, nextCursor } = await audit.list(query)
    return { entries: [...items], nextCursor }
  })

  app.get('/v1/reconcile', getReconciliation, async ({ query }) => {
    const { accounts, mismatches } = await reconcile(query.accountId ?? null)
    return { accounts, mismatches: [...mismatches] }
  })
}

const createApiKey = contract({
  config: {
    access: 'admin',
    audit: { action: 'api_key_create', record: 'act' },
    errors: ['secret_not_replayed', 'limit_exceeded'],
  },
  schema: {
    operationId: 'createApiKey',
    tags,
    summary: 'Make an API key',
    description:
      'The reply holds the key, this once: a repeat under the same idempotency key is refused ' +
      'with `secret_not_replayed`. To change a key, make the new one, use it, then revoke the old.',
    body: schema.apiKeyBody,
    response: { 201: schema.newApiKey },
  },
})

const listApiKeys = contract({
  config: { access: 'admin', limit: 'search' },
  schema: {
    operationId: 'listApiKeys',
    tags,
    summary: 'List the API keys',
    description: 'Newest first, revoked ones too; never the keys themselves.',
    querystring: schema.apiKeyQuery,
    response: { 200: schema.apiKeys },
  },
})

const revokeApiKey = contract({
  config: {
    access: 'admin',
    audit: { action: 'api_key_revoke', record: 'act' },
    errors: ['api_key_not_found', 'last_admin_key'],
  },
  schema: {
    operationId: 'revokeApiKey',
    tags,
    summary: 'Revoke an API key',
    description:
      'The key ends at once in the instance that answers, and within five seconds in all others. ' +
      'The last key that could make another is kept, unless the environment holds one.',
    params: schema.apiKeyParams,
    response: { 200: schema.apiKey },
  },
})

const listAuditLog = contract({
  config: { access: 'admin', limit: 'search' },
  schema: {
    operationId: 'listAuditLog',
    tags,
    summary: 'Read the audit log',
    description:
      'Who did what, newest first: the entries of the ledger, and beside them every refused ' +
      'write of a known caller and every act of an operator. The order never changes: by ' +
      '`createdAt`, within a millisecond by the `seq` of the account and the ids of the log.',
    querystring: schema.auditQuery,
    response: { 200: schema.auditEntries },
  },
})

const getReconciliation = contract({
  config: { access: 'admin' },
  schema: {
    operationId: 'reconcile',
    tags,
    summary: 'Compare the books with themselves',
    description:
      'Balances with the sum of the ledger, the chain of its entries, grants, holds and refunds, ' +
      'of one account or of all. Changes nothing.',
    querystring: schema.reconcileQuery,
    response: { 200: schema.reconciliation },
  },
})
