import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { AppError } from '../../errors.js'
import { type Actor, reaches } from '../../http/actor.js'
import type { Once } from '../../http/once.js'
import { decodeCursor } from '../../http/page.js'
import { contract } from '../../http/route.js'
import * as schema from './schema.js'
import type { PackagePosition, Packages } from './service.js'

const tags = ['Purchases']

export type PackageRoutesDeps = { readonly packages: Packages; readonly once: Once }

export const packageRoutes: FastifyPluginAsyncZod<PackageRoutesDeps> = async (app, deps) => {
  const { packages, once } = deps

  app.get('/v1/packages', listPackages, async ({ query, actor }) => {
    const all = query.all === 'true'
    if (all) requireAdmin(actor)
    const after = decodeCursor(query.cursor, isPosition)
    const page = await packages.getCreditPackages({ all, after, limit: query.limit })
    return { packages: [...page.items], nextCursor: page.nextCursor }
  })

  app.put('/v1/packages/:packageId', putPackage, (request, reply) =>
    once<schema.PackageView>(request, reply, async (_caller, keep) => {
      const answerOf = (put: { package: schema.PackageView; isNew: boolean }) => ({
        status: put.isNew ? 201 : 200,
        body: put.package,
      })
      const { params, body } = request
      return answerOf(
        await packages.put(params.packageId, body, (tx, put) => keep(tx, answerOf(put))),
      )
    }),
  )
}

const isPosition = (value: unknown): value is PackagePosition =>
  Array.isArray(value) &&
  value.length === 2 &&
  Number.isInteger(value[0]) &&
  Math.abs(value[0]) <= 1_000_000 &&
  typeof value[1] === 'string' &&
  /^[a-z0-9_-]{1,64}$/.test(value[1])

function requireAdmin(actor: Actor): void {
  if (actor.kind === 'anonymous') {
    throw new AppError('unauthenticated', 'all=true needs an API key with the scope admin')
  }
  if (reaches(actor, 'admin')) return
  const requiredScopes = ['admin']
  throw new AppError('forbidden', 'all=true is for keys with the scope admin', { requiredScopes })
}

const listPackages = contract({
  config: {
    access: { scopes: 'admin', session: 'shared', anybody: true },
    limit: 'search',
    errors: ['unauthenticated', 'forbidden'],
  },
  schema: {
    operationId: 'listPackages',
    tags,
    summary: 'List the packages',
    description:
      'The packages that are for sale, by sort order. With `all=true`, which is for keys with ' +
      'the scope `admin`, also those that are not.',
    querystring: schema.packageQuery,
    response: { 200: schema.packages },
  },
})

const putPackage = contract({
  config: {
    access: 'admin',
    audit: { action: 'package_put', record: 'act' },
    errors: ['limit_exceeded'],
  },
  schema: {
    operationId: 'putPackage',
    tags,
    summary: 'Make or change a package',
    description:
      'Makes the package, for which name, credits, price and currency are needed, or changes ' +
      'what the body names of it; null clears. 201 when it was made. Purchases that were begun ' +
      'keep the price and the credits they were begun with.',
    params: schema.packageParams,
    body: schema.packageBody,
    response: { 200: schema.creditPackage, 201: schema.creditPackage },
  },
})
