import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { BULK_BODY_LIMIT_BYTES } from '../../http/body.js'
import { callerOf } from '../../http/once.js'
import { contract } from '../../http/route.js'
import { operationsBody, outcomes } from './schema.js'
import type { Operations } from './service.js'

export const operationRoutes: FastifyPluginAsyncZod<{ operations: Operations }> = async (
  app,
  { operations },
) => {
  app.post('/v1/operations', runOperations, async (request) => {
    const by = { actor: request.actor, caller: callerOf(request) }
    return { outcomes: [...(await operations.run(by, request.body.operations))] }
  })
}

const runOperations = contract({
  bodyLimit: BULK_BODY_LIMIT_BYTES,
  config: {
    access: ['credits:write', 'grants:write'],
    audit: { action: 'operations', record: 'ledger' },
  },
  schema: {
    operationId: 'runOperations',
    tags: ['Bulk'],
    summary: 'Do many operations in one call',
    description:
      'Up to 1,000 operations, in their order, each for itself: a refused or invalid one spoils ' +
      'no other, and the reply has an outcome for each. Every operation may have its own ' +
      '`idempotencyKey`; with the header alone, each has a key made from it and its place. The ' +
      'scope that each kind needs is that of its own call.',
    body: operationsBody,
    response: { 200: outcomes },
  },
})
