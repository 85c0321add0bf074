import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { Beside } from '../../db/transaction.js'
import type { Answer, Keep } from '../../http/idempotency.js'
import type { Once } from '../../http/once.js'
import { decodeCursor, isText, pageOf } from '../../http/page.js'
import { contract } from '../../http/route.js'
import { isoOf } from '../../http/schema.js'
import { type Catalogue, IN_FORCE_AFTER_MS } from './catalogue.js'
import type { Price, PriceTerms } from './price-list.js'
import * as schema from './schema.js'

export type PriceRoutesDeps = { readonly catalogue: Catalogue; readonly once: Once }

export const priceRoutes: FastifyPluginAsyncZod<PriceRoutesDeps> = async (app, deps) => {
  const { catalogue, once } = deps

  app.get('/v1/prices', listPrices, async ({ query }) => {
    const after = decodeCursor(query.cursor, isText)
    const fetched = await catalogue.listPrices({ after, limit: query.limit + 1 })
    const { items, nextCursor } = pageOf(fetched, query.limit, ({ action }) => action)
    return { prices: items.map(toReply), nextCursor }
  })

  app.get('/v1/prices/:action', getPrice, async ({ params }) =>
    toReply(await catalogue.getPrice(params.action)),
  )

  app.put('/v1/prices/:action', setPrice, (request, reply) =>
    once<schema.PriceReply>(
      request,
      reply,
      async (_caller, keep) => {
        const { params, body } = request
        const price = await catalogue.putPrice(params.action, termsOf(body), besideOf(keep))
        return answerOf(price)
      },
      { inForceAfterMs: IN_FORCE_AFTER_MS },
    ),
  )

  app.delete('/v1/prices/:action', deletePrice, (request, reply) =>
    once<schema.PriceReply>(
      request,
      reply,
      async (_caller, keep) =>
        answerOf(await catalogue.deletePrice(request.params.action, besideOf(keep))),
      { inForceAfterMs: IN_FORCE_AFTER_MS },
    ),
  )
}

const answerOf = (price: Price): Answer<schema.PriceReply> => ({
  status: 200,
  body: toReply(price),
})

const besideOf =
  (keep: Keep<schema.PriceReply>): Beside<Price> =>
  (tx, price) =>
    keep(tx, answerOf(price))

const tags = ['Prices']
const EVERYWHERE =
  ' It is in force in every instance of the service when the answer comes, about a quarter of ' +
  'a second later.'

const listPrices = contract({
  config: { access: { scopes: 'credits:read', session: 'shared' }, limit: 'search' },
  schema: {
    operationId: 'listPrices',
    tags,
    summary: 'List the prices',
    description: 'The price list by action name.',
    querystring: schema.priceQuery,
    response: { 200: schema.prices },
  },
})

const getPrice = contract({
  config: { access: { scopes: 'credits:read', session: 'shared' }, errors: ['action_not_found'] },
  schema: {
    operationId: 'getPrice',
    tags,
    summary: 'Read the price of an action',
    description: 'What the price list says of one action.',
    params: schema.priceParams,
    response: { 200: schema.price },
  },
})

const setPrice = contract({
  config: {
    access: 'admin',
    errors: ['formula_error', 'limit_exceeded'],
    audit: { action: 'price_set', record: 'act' },
  },
  schema: {
    operationId: 'setPrice',
    tags,
    summary: 'Set the price of an action',
    description: `Adds an action to the price list, or replaces it there.${EVERYWHERE}`,
    params: schema.priceParams,
    body: schema.priceBody,
    response: { 200: schema.price },
  },
})

const deletePrice = contract({
  config: {
    access: 'admin',
    errors: ['action_not_found'],
    audit: { action: 'price_delete', record: 'act' },
  },
  schema: {
    operationId: 'deletePrice',
    tags,
    summary: 'Take an action out of the price list',
    description:
      'Charges for it are refused from then on; holds that were made for it can still be ' +
      `settled by amount. The reply is what the list said of it.${EVERYWHERE}`,
    params: schema.priceParams,
    response: { 200: schema.price },
  },
})

/** Fields without a value are left out, so that a reply can be edited and sent back. */
function toReply(price: Price): schema.PriceReply {
  const { cost, tierCosts, formula, minimum, requiredTier, description } = price
  return {
    action: price.action,
    ...(cost !== null && { cost }),
    ...(tierCosts !== null && { tierCosts }),
    ...(formula !== null && { formula }),
    ...(minimum !== null && { minimum }),
    ...(requiredTier !== null && { requiredTier }),
    ...(description !== null && { description }),
    createdAt: isoOf(price.createdAtMs),
    updatedAt: isoOf(price.updatedAtMs),
  }
}

const termsOf = (body: schema.PriceBody): PriceTerms => ({
  cost: body.cost ?? null,
  tierCosts: body.tierCosts ?? null,
  formula: body.formula ?? null,
  minimum: body.minimum ?? null,
  requiredTier: body.requiredTier ?? null,
  description: body.description ?? null,
})
