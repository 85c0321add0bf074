import { invalidField } from '../http/validator.js'
import type { ProviderName } from '../payment-facts.js'
import type { PaymentProvider } from './providers/provider.js'

export type Providers = {
  /** All whose facts are taken; `manual` is always there. */
  readonly byName: ReadonlyMap<ProviderName, PaymentProvider>
  /** Those that something can be bought through, `manual` among them. */
  readonly sellers: readonly ProviderName[]
}

/**
 * Who takes the payment: the one that was asked for, else the only one that is configured, else
 * `manual` where none is. Throws `invalid_request` with those there are.
 */
export function chooseSeller({ sellers }: Providers, asked: ProviderName | null): ProviderName {
  if (asked !== null) {
    if (sellers.includes(asked)) return asked
    throw invalidField('provider', `${asked} is not configured; there is ${sellers.join(', ')}`)
  }
  const [first, ...others] = sellers.filter((name) => name !== 'manual')
  if (others.length === 0) return first ?? 'manual'
  throw invalidField('provider', `Is required, for there is ${sellers.join(', ')}`)
}
