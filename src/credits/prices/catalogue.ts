import type { Beside } from '../../db/transaction.js'
import { AppError } from '../../errors.js'
import type { Priced, Quote } from '../../ledger/model.js'
import { parseFormula } from './formula.js'
import {
  createPriceList,
  type Price,
  type PriceList,
  type PriceTerms,
  type Tier,
} from './price-list.js'
import {
  type AccessView,
  accessOf,
  type Holder,
  type PriceRequest,
  quote,
  settlement,
  unknownAction,
} from './quote.js'
import { CATALOGUE_LEASE_MS, createSnapshots } from './snapshot.js'
import type { PriceStore } from './store.js'

/** Timers may come a millisecond early. */
const MARGIN_MS = 5

/** A change is in force everywhere this long after its commit. */
export const IN_FORCE_AFTER_MS = CATALOGUE_LEASE_MS + MARGIN_MS

export type CatalogueDeps = {
  readonly store: PriceStore
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
  readonly sleep: (ms: number) => Promise<unknown>
}

export type PricePage = {
  /** Only actions that come after this one. */
  readonly after: string | null
  readonly limit: number
}

export type Catalogue = {
  /**
   * Resolves the price of an action as of now; who the price is for is said later, when the
   * ledger decides. The quote throws (see `quote`); getting it fails only when the list can not
   * be had (the database's failures as they are).
   */
  quoteFor(request: PriceRequest): Promise<Quote>
  /** The same for settling a hold by variables: the action is the hold's. */
  settlementFor(
    request: Omit<PriceRequest, 'action'>,
  ): Promise<(tier: string | null, action: string | null) => Priced>
  /** Whether a holder may use an action, and its price; throws `action_not_found`. */
  access(request: PriceRequest, holder: Holder): Promise<AccessView>
  /** Prices by action name, at most `limit`. */
  listPrices(page: PricePage): Promise<readonly Price[]>
  /** Throws `action_not_found`. */
  getPrice(action: string): Promise<Price>
  /**
   * Sets the price of an action. When it answers, all instances use it. Throws `formula_error`,
   * `invalid_request` for a tier that does not exist, `limit_exceeded`. Safe to repeat. `beside`
   * joins the transaction, here and below.
   */
  putPrice(action: string, terms: PriceTerms, beside?: Beside<Price>): Promise<Price>
  /** Takes an action out of the list, in all instances; throws `action_not_found`. */
  deletePrice(action: string, beside?: Beside<Price>): Promise<Price>
  /** By level. */
  listTiers(): Promise<readonly Tier[]>
  /**
   * Replaces all tiers, in all instances; throws `tier_in_use` when a price names one that would
   * go. Accounts keep the name of a tier that went: it counts as no membership. Safe to repeat.
   */
  putTiers(tiers: readonly Tier[], beside?: Beside<readonly Tier[]>): Promise<readonly Tier[]>
  hasTier(id: string): Promise<boolean>
}

/** The price list and the tiers, exact across instances. */
export function createCatalogue({ store, now, sleep }: CatalogueDeps): Catalogue {
  const current = createSnapshots(store, now)
  const outliveLists = () => sleep(IN_FORCE_AFTER_MS)
  return {
    async quoteFor(request) {
      const list = await current()
      return (tier) => quote(list, request, tier)
    },
    async settlementFor(request) {
      const list = await current()
      return (tier, action) => settlement(list, { ...request, action: actionOf(action) }, tier)
    },
    access: async (request, holder) => accessOf(await current(), request, holder),
    listPrices: async (page) => pageOfPrices(await current(), page),
    async getPrice(action) {
      const found = (await current()).actions.get(action)
      if (!found) throw unknownAction(action)
      return found.price
    },
    async putPrice(action, terms, beside) {
      if (terms.formula !== null) parseFormula(terms.formula)
      const price = await store.put(action, terms, beside)
      await outliveLists()
      return price
    },
    async deletePrice(action, beside) {
      const removed = await store.remove(action, beside)
      if (removed === null) throw unknownAction(action)
      await outliveLists()
      return removed
    },
    listTiers: async () => (await current()).tiers,
    async putTiers(tiers, beside) {
      const ordered = createPriceList([], tiers, null).tiers
      await store.replaceTiers(ordered, beside)
      await outliveLists()
      return ordered
    },
    hasTier: async (id) => (await current()).levels.has(id),
  }
}

function pageOfPrices(list: PriceList, { after, limit }: PricePage): Price[] {
  const page: Price[] = []
  for (const [action, { price }] of list.actions) {
    if (page.length === limit) break
    if (after === null || action > after) page.push(price)
  }
  return page
}

function actionOf(action: string | null): string {
  if (action !== null) return action
  throw new AppError('invalid_request', 'The hold is for an amount: settle it with an amount')
}
