import { AppError } from '../../errors.js'
import type { Actor } from '../../http/actor.js'
import type { Cost } from './schema.js'

/** A session spends at the word of the price list; an amount is for back ends to say. */
export function refuseSessionAmount(actor: Actor, { amount }: Cost): void {
  if (actor.kind !== 'session' || amount === undefined) return
  throw new AppError('forbidden', 'A session spends by action; an amount takes an API key')
}
