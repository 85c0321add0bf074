import { AppError } from '../../errors.js'
import type { Actor } from '../../http/actor.js'
import { invalidField } from '../../http/validator.js'
import type { Cost } from './schema.js'

/**
 * A session spends at the word of the price list; an amount is for back ends to say. Nor may it
 * lower a price by variables below 0: there are no fewer than no tokens.
 */
export function refuseSessionCost(actor: Actor, { amount, variables = {} }: Cost): void {
  if (actor.kind !== 'session') return
  if (amount !== undefined) {
    throw new AppError('forbidden', 'A session spends by action; an amount takes an API key')
  }
  for (const [name, value] of Object.entries(variables)) {
    if (value < 0) throw invalidField(`variables.${name}`, 'Must be at least 0 from a session')
  }
}
