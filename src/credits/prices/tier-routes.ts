import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { AppError } from '../../errors.js'
import type { Once } from '../../http/once.js'
import type { App } from '../../http/route.js'
import { tierAt } from '../../ledger/draft.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Catalogue } from './catalogue.js'
import type { AccessView } from './quote.js'
import * as schema from './schema.js'

export type TierRoutesDeps = {
  readonly catalogue: Catalogue
  readonly ledger: Pick<Ledger, 'read' | 'now'>
  readonly once: Once
}

const tags = ['Membership']

/** The tiers of membership, and what they open. */
export const tierRoutes: FastifyPluginAsyncZod<TierRoutesDeps> = async (app, deps) => {
  addTiers(app, deps)
  addAccess(app, deps)
}

function addTiers(app: App, { catalogue, once }: TierRoutesDeps): void {
  app.get(
    '/v1/tiers',
    {
      config: { access: 'credits:read' },
      schema: {
        operationId: 'listTiers',
        tags,
        summary: 'List the tiers',
        description: 'The tiers of membership, lowest level first.',
        response: { 200: schema.tiers },
      },
    },
    async () => ({ tiers: [...(await catalogue.listTiers())], nextCursor: null }),
  )

  app.put(
    '/v1/tiers',
    {
      config: {
        access: 'admin',
        errors: ['tier_in_use'],
        audit: { action: 'tiers_set', record: 'act' },
      },
      schema: {
        operationId: 'setTiers',
        tags,
        summary: 'Replace the tiers',
        description:
          'A tier that a price names can not be left out. Accounts keep the name of one that was; ' +
          'it counts as no membership. The tiers are in force in every instance of the service ' +
          'when the answer comes, about a quarter of a second later.',
        body: schema.tiersBody,
        response: { 200: schema.tiers },
      },
    },
    (request, reply) =>
      once(request, reply, async () => {
        const tiers = await catalogue.putTiers(request.body.tiers)
        return { status: 200, body: { tiers: [...tiers], nextCursor: null } }
      }),
  )
}

function addAccess(app: App, deps: TierRoutesDeps): void {
  app.get(
    '/v1/accounts/:accountId/access',
    {
      config: { access: 'credits:read', errors: ['account_not_found', 'action_not_found'] },
      schema: {
        operationId: 'getAccess',
        tags,
        summary: 'Ask whether an account may use an action',
        description:
          'Tells whether a charge for the action would go through now, and what it would cost. ' +
          'Nothing is reserved: a hold does that.',
        params: schema.accessParams,
        querystring: schema.accessQuery,
        response: { 200: schema.access },
      },
    },
    async ({ params, query }) => {
      const { reason, ...view } = await accessFor(deps, params.accountId, query)
      return { accountId: params.accountId, ...view, ...(reason !== null && { reason }) }
    },
  )
}

async function accessFor(
  { catalogue, ledger }: TierRoutesDeps,
  accountId: string,
  { action, quantity }: { readonly action: string; readonly quantity: number },
): Promise<AccessView> {
  const account = await ledger.read(accountId)
  if (account === null) throw new AppError('account_not_found', `There is no account ${accountId}`)
  return catalogue.access(
    { action, quantity, variables: {} },
    {
      tier: tierAt(account, ledger.now()),
      available: account.balance - account.held,
      status: account.status,
    },
  )
}
