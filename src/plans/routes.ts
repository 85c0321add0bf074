import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { AppError } from '../errors.js'
import { type Actor, reaches } from '../http/actor.js'
import type { Once } from '../http/once.js'
import { decodeCursor } from '../http/page.js'
import { contract } from '../http/route.js'
import type { PlanPosition } from './plan-store.js'
import * as schema from './schema.js'
import type { PlanPut, Plans } from './service.js'

export type PlanRoutesDeps = { readonly plans: Plans; readonly once: Once }

export const planRoutes: FastifyPluginAsyncZod<PlanRoutesDeps> = async (app, deps) => {
  const { plans, once } = deps

  app.get('/v1/plans', listPlans, async ({ query, actor }) => {
    const isAll = query.all === 'true'
    if (isAll) requireAdmin(actor)
    const after = decodeCursor(query.cursor, isPosition)
    const page = await plans.list({ isActive: !isAll, after, limit: query.limit })
    return { plans: [...page.items], nextCursor: page.nextCursor }
  })

  app.get('/v1/plans/:planId', getPlan, async ({ params }) => plans.get(params.planId))

  app.put('/v1/plans/:planId', putPlan, (request, reply) =>
    once<schema.PlanView>(request, reply, async (_caller, keep) => {
      const { params, body } = request
      return answerOf(await plans.put(params.planId, body, (tx, put) => keep(tx, answerOf(put))))
    }),
  )
}

const answerOf = ({ plan, isNew }: PlanPut) => ({ status: isNew ? 201 : 200, body: plan })

const isPosition = (value: unknown): value is PlanPosition =>
  Array.isArray(value) &&
  value.length === 2 &&
  Number.isInteger(value[0]) &&
  Math.abs(value[0]) <= 1_000_000 &&
  schema.planId.safeParse(value[1]).success

function requireAdmin(actor: Actor): void {
  if (actor.kind === 'anonymous') {
    throw new AppError('unauthenticated', 'all=true needs an API key with the scope admin')
  }
  if (reaches(actor, 'admin')) return
  const requiredScopes = ['admin']
  throw new AppError('forbidden', 'all=true is for keys with the scope admin', { requiredScopes })
}

const tags = ['Plans']

const listPlans = contract({
  config: {
    access: { scopes: 'admin', session: 'shared', anybody: true },
    limit: 'search',
    errors: ['unauthenticated', 'forbidden'],
  },
  schema: {
    operationId: 'listPlans',
    tags,
    summary: 'List the plans',
    description:
      'The plans that are offered, by sort order. With `all=true`, which is for keys with the ' +
      'scope `admin`, also those that are not.',
    querystring: schema.planQuery,
    response: { 200: schema.plans },
  },
})

const getPlan = contract({
  config: { access: 'public', errors: ['plan_not_found'] },
  schema: {
    operationId: 'getPlan',
    tags,
    summary: 'Read a plan',
    description: 'One plan, whether it is offered or not.',
    params: schema.planParams,
    response: { 200: schema.plan },
  },
})

const putPlan = contract({
  config: {
    access: 'admin',
    audit: { action: 'plan_put', record: 'act' },
    errors: ['limit_exceeded'],
  },
  schema: {
    operationId: 'putPlan',
    tags,
    summary: 'Make or change a plan',
    description:
      'Makes the plan, for which tier and monthlyCredits are needed, or changes what the body ' +
      'names of it; null clears. 201 when it was made. What was allocated stays as it is; the ' +
      'next periods of whoever has the plan go by its new terms.',
    params: schema.planParams,
    body: schema.planBody,
    response: { 200: schema.plan, 201: schema.plan },
  },
})
