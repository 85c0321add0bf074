import { createCreem } from '../../src/purchases/providers/creem.js'
import type { NewCheckout, PaymentProvider } from '../../src/purchases/providers/provider.js'
import type { CreemEvent, Json } from '../helpers/creem-shapes.js'
import {
  CREEM_KEY,
  CREEM_SECRET,
  type CreemStandIn,
  startCreem,
} from '../helpers/creem-stand-in.js'
import type { TestContext } from '../helpers/database.js'

export const PACK = 'prod_pack'
export const PLAN = 'prod_plan'

export type Kit = {
  readonly creem: CreemStandIn
  readonly provider: PaymentProvider
  readonly warnings: unknown[][]
  /** The facts of an event, by way of its signature. */
  factsOf(event: CreemEvent | Json): Promise<readonly Json[]>
  /** A checkout that was begun; gives its id. */
  begin(checkout?: Partial<NewCheckout>): Promise<string>
}

/** The provider over a stand-in that sells a package and a plan. */
export const openKit = async (
  t: TestContext,
  { apiKey = CREEM_KEY }: { readonly apiKey?: string | null } = {},
): Promise<Kit> => {
  const creem = await startCreem(t, [
    { id: PACK, price: 1000 },
    { id: PLAN, price: 1500, recurring: true },
  ])
  const warnings: unknown[][] = []
  const log = { warn: (...told: unknown[]) => void warnings.push(told) }
  const settings = { webhookSecrets: [CREEM_SECRET], apiUrl: creem.url, now: Date.now, log }
  const provider = createCreem({ ...settings, apiKey })
  const seller = createCreem({ ...settings, apiKey: CREEM_KEY })
  return {
    creem,
    provider,
    warnings,
    factsOf: (event) =>
      provider.factsOf(provider.verifyAndParse(creem.signed(event as CreemEvent))),
    async begin(checkout = {}) {
      const { checkoutId } = await seller.create({ ...checkoutOf(), ...checkout })
      if (checkoutId === null) throw new Error('a checkout without an id')
      return checkoutId
    },
  }
}

export const checkoutOf = (): NewCheckout => ({
  purchaseId: 'purchase-1',
  accountId: 'alice',
  email: 'alice@example.com',
  packageId: 'pkg_starter',
  name: 'Starter',
  credits: 100,
  amount: 1000,
  currency: 'USD',
  priceId: PACK,
  successUrl: 'https://shop.example.com/thanks',
})

/** The refund's or dispute's one fact, without what all of them share. */
export const reversalsIn = (facts: readonly Json[]): Json[] =>
  facts.flatMap(({ reversals }) => reversals ?? []).map(({ id: _, ...reversal }: Json) => reversal)
