import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { contract } from '../http/route.js'
import * as schema from './schema.js'
import type { Health } from './service.js'

const tags = ['Operations']

export const healthRoutes: FastifyPluginAsyncZod<{ health: Health }> = async (app, { health }) => {
  app.get('/health', getHealth, async () => health.live())

  app.get('/health/ready', getReadiness, async (_request, reply) => {
    const { status, ...readiness } = await health.ready()
    reply.header('cache-control', 'no-store')
    if (status === 'ok' || status === 'degraded') {
      return reply.code(200).send({ ...readiness, status })
    }
    return reply
      .code(503)
      .header('retry-after', '1')
      .send({ ...readiness, status })
  })

  for (const [path, route] of REDIS_PATHS) {
    app.get(path, route, async (_request, reply) => {
      reply.header('cache-control', 'no-store')
      return health.redis()
    })
  }
}

const getHealth = contract({
  config: { access: 'public', limit: null },
  schema: {
    operationId: 'getHealth',
    tags,
    summary: 'Whether the process lives',
    description: 'Answers at once and asks nothing else; for restarting a process that hangs.',
    response: { 200: schema.liveness },
  },
})

const getReadiness = contract({
  config: { access: 'public', limit: null },
  schema: {
    operationId: 'getReadiness',
    tags,
    summary: 'Whether work is taken',
    description:
      'Asks what the service depends on and answers within two seconds; for load balancers.',
    response: { 200: schema.ready, 503: schema.notReady },
  },
})

const describeRedis = (operationId: string, summary: string) =>
  contract({
    config: { access: 'public', limit: null },
    schema: {
      operationId,
      tags,
      summary,
      description:
        'Answers within two seconds. The service goes on without Redis: limits are counted by ' +
        'each process, sessions live where they were made, and nothing but catalogues is cached. ' +
        '`degraded` says so; it is 200 all the same.',
      response: { 200: schema.redis },
    },
  })

const REDIS_PATHS = [
  ['/health/redis', describeRedis('getRedisHealth', 'How Redis is')],
  ['/api/health/redis', describeRedis('getRedisHealthAlias', 'How Redis is, the same')],
] as const
