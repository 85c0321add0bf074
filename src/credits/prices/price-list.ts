import type { Formula } from './formula.js'
import { parseFormula } from './formula.js'

/** A membership tier; whoever has one has what all lower levels allow. */
export type Tier = { readonly id: string; readonly level: number }

/** What an operator says of an action. Exactly one of `cost` and `formula` is set. */
export type PriceTerms = {
  /** Whole credits for one; 0 is free. */
  readonly cost: number | null
  /** Whole credits for holders of exactly these tiers; anybody else pays `cost`. */
  readonly tierCosts: Readonly<Record<string, number>> | null
  readonly formula: string | null
  /** No request pays less than this, whatever the quantity. */
  readonly minimum: number | null
  /** Who has no tier of at least this one's level may not use the action. */
  readonly requiredTier: string | null
  readonly description: string | null
}

export type Price = PriceTerms & {
  readonly action: string
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

export type PricedAction = {
  readonly price: Price
  /** The formula, read when it is first needed: ten thousand at once would stop the service. */
  readonly formula: () => Formula | null
}

/** The whole list as it stood at one moment. */
export type PriceList = {
  readonly actions: ReadonlyMap<string, PricedAction>
  /** By level, then id. */
  readonly tiers: readonly Tier[]
  readonly levels: ReadonlyMap<string, number>
}

/** Puts a list together; formulas that `before` has already read are taken from it. */
export function createPriceList(
  prices: readonly Price[],
  tiers: readonly Tier[],
  before: PriceList | null,
): PriceList {
  const actions = new Map<string, PricedAction>()
  for (const price of prices.toSorted((a, b) => (a.action < b.action ? -1 : 1))) {
    const known = before?.actions.get(price.action)
    const isKnown = known?.price.formula === price.formula
    const formula = known && isKnown ? known.formula : readOnce(price.formula)
    actions.set(price.action, { price, formula })
  }
  const ordered = tiers.toSorted((a, b) => a.level - b.level || (a.id < b.id ? -1 : 1))
  return { actions, tiers: ordered, levels: new Map(tiers.map(({ id, level }) => [id, level])) }
}

function readOnce(text: string | null): () => Formula | null {
  let formula: Formula | null = null
  return () => {
    if (text !== null) formula ??= parseFormula(text)
    return formula
  }
}
