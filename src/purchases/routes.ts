import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { ownerOf } from '../http/actor.js'
import type { Once } from '../http/once.js'
import { decodeCursor } from '../http/page.js'
import { contract } from '../http/route.js'
import { accountParams } from '../http/schema.js'
import { packageRoutes } from './packages/routes.js'
import type { Packages } from './packages/service.js'
import type { PurchaseView } from './schema.js'
import * as schema from './schema.js'
import type { Purchases } from './service.js'
import type { Position } from './store.js'

const tags = ['Purchases']

export type PurchaseRoutesDeps = {
  readonly packages: Packages
  readonly purchases: Purchases
  readonly once: Once
}

export const purchaseRoutes: FastifyPluginAsyncZod<PurchaseRoutesDeps> = async (app, deps) => {
  const { purchases, once } = deps
  await app.register(packageRoutes, deps)

  app.post('/v1/purchases', createPurchase, (request, reply) =>
    once<PurchaseView>(request, reply, async (caller) => ({
      status: 201,
      body: await purchases.purchaseCreditPackage(caller, request.actor, request.body),
    })),
  )

  app.get('/v1/purchases/:purchaseId', getPurchase, async ({ params, actor }) =>
    purchases.get(params.purchaseId, ownerOf(actor)),
  )

  app.get('/v1/accounts/:accountId/purchases', listPurchases, async ({ params, query }) => {
    const before = decodeCursor(query.cursor, isPosition)
    const page = await purchases.list(params.accountId, { before, limit: query.limit })
    return { purchases: [...page.items], nextCursor: page.nextCursor }
  })

  app.post('/v1/purchases/:purchaseId/confirm', confirmPurchase, (request, reply) =>
    once<PurchaseView>(request, reply, async () => ({
      status: 200,
      body: await purchases.confirm(request.params.purchaseId, request.body),
    })),
  )

  app.post('/v1/purchases/:purchaseId/refund', refundPurchase, (request, reply) =>
    once<PurchaseView>(request, reply, async (caller) => ({
      status: 200,
      body: await purchases.refund(caller, request.params.purchaseId, request.body),
    })),
  )
}

/** The end of the year 9999: later ones are no timestamps to the database. */
const MAX_TIME_MS = 253_402_300_799_999

const isPosition = (value: unknown): value is Position =>
  Array.isArray(value) &&
  value.length === 2 &&
  Number.isSafeInteger(value[0]) &&
  value[0] >= 0 &&
  value[0] <= MAX_TIME_MS &&
  typeof value[1] === 'string' &&
  /^[A-Za-z0-9_-]{1,64}$/.test(value[1])

const createPurchase = contract({
  config: {
    access: { scopes: 'purchases:write', session: 'narrowed' },
    limit: 'payment',
    audit: { action: 'purchase_create', record: 'act' },
    errors: [
      'purchases_disabled',
      'account_not_found',
      'package_not_found',
      'account_closed',
      'package_inactive',
      'provider_refused',
      'provider_unavailable',
    ],
  },
  schema: {
    operationId: 'createPurchase',
    tags,
    summary: 'Begin a purchase',
    description:
      'Begins the purchase of a package at its price of now, and the checkout where it is paid. ' +
      'Credits are granted when the provider has told that it was paid, and never before. A ' +
      'session buys for its own account. Counted per account, and more tightly for guests.',
    body: schema.purchaseBody,
    response: { 201: schema.purchase },
  },
})

const readScopes = ['credits:read', 'purchases:write'] as const

const getPurchase = contract({
  config: {
    access: { scopes: readScopes, session: 'narrowed' },
    errors: ['purchase_not_found'],
  },
  schema: {
    operationId: 'getPurchase',
    tags,
    summary: 'Read a purchase',
    description: "A purchase as it stands. Another account's is not there for a session.",
    params: schema.purchaseParams,
    response: { 200: schema.purchase },
  },
})

const listPurchases = contract({
  config: {
    access: { scopes: readScopes, session: 'own' },
    limit: 'search',
    errors: ['account_not_found'],
  },
  schema: {
    operationId: 'listPurchases',
    tags,
    summary: 'List the purchases of an account',
    description: 'Newest first.',
    params: accountParams,
    querystring: schema.purchaseQuery,
    response: { 200: schema.purchases },
  },
})

const confirmPurchase = contract({
  config: {
    access: 'purchases:write',
    audit: { action: 'purchase_confirm', record: 'act' },
    errors: ['purchase_not_found', 'purchase_state', 'account_closed', 'provider_unavailable'],
  },
  schema: {
    operationId: 'confirmPurchase',
    tags,
    summary: 'Confirm that a purchase was paid',
    description:
      'A manual purchase is paid when this says so, and its credits are granted, once. Of the ' +
      'others the provider is asked how the payment stands, so that a page after the checkout ' +
      'need not wait for its event: what the caller says grants nothing. Safe to repeat.',
    params: schema.purchaseParams,
    body: schema.confirmBody,
    response: { 200: schema.purchase },
  },
})

const refundPurchase = contract({
  config: {
    access: 'purchases:write',
    audit: { action: 'purchase_refund', record: 'act' },
    errors: [
      'purchase_not_found',
      'purchase_state',
      'provider_refused',
      'refund_exceeds_charge',
      'provider_unavailable',
    ],
  },
  schema: {
    operationId: 'refundPurchase',
    tags,
    summary: 'Refund a purchase',
    description:
      'Asks the provider to give all or part of the payment back. When it has, the same share of ' +
      'the credits is taken back, rounded up: from the credits of this purchase first, then from ' +
      'others; what was spent becomes debt, which the next credits pay first. A manual purchase ' +
      'is refunded at once; giving the money back is then yours.',
    params: schema.purchaseParams,
    body: schema.refundBody,
    response: { 200: schema.purchase },
  },
})
