import type { CheckoutFact } from '../payment-facts.js'
import type { Purchase } from './store.js'

const REFUSED = 'payment_refused: '
const MAX_PROBLEM_LENGTH = 500

/** The `problem` of a purchase for which was paid, but not as it was sold. */
export const refusalOf = ({ paymentId, checkoutId }: CheckoutFact, reason: string): string =>
  `${REFUSED}${reason} (${paymentId ?? checkoutId ?? 'no payment'})`.slice(0, MAX_PROBLEM_LENGTH)

/**
 * Whether money for it was refused and none was right since: an operator must see it, so it
 * neither expires nor looks as if nobody had paid.
 */
export const isPaymentRefused = ({
  checkoutState,
  problem,
}: Pick<Purchase, 'checkoutState' | 'problem'>): boolean =>
  checkoutState !== 'paid' && problem?.startsWith(REFUSED) === true
