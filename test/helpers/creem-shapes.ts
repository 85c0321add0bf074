import { createHmac } from 'node:crypto'

/*
 * Creem's objects with the fields of its documented samples, no more and no fewer.
 */

// biome-ignore lint/suspicious/noExplicitAny: a provider's JSON, which tests bend at will
export type Json = Record<string, any>

export type CreemEvent = {
  readonly id: string
  readonly eventType: string
  readonly created_at: number
  readonly object: Json
}

export const CUSTOMER = {
  id: 'cust_1OcIK1GEuVvXZwD19tjq2z',
  object: 'customer',
  email: 'buyer@example.com',
  name: 'Tester Test',
  country: 'NL',
  created_at: '2024-10-11T09:16:48.557Z',
  updated_at: '2024-10-11T09:16:48.557Z',
  mode: 'test',
}

export const signCreem = (body: string | Buffer, secret: string): string =>
  createHmac('sha256', secret).update(body).digest('hex')

export const productOf = (product: Json): Json => ({
  description: product.name,
  image_url: null,
  billing_period: product.billing_type === 'recurring' ? 'every-month' : 'once',
  status: 'active',
  tax_mode: 'exclusive',
  tax_category: 'saas',
  default_success_url: '',
  created_at: '2024-10-11T11:50:00.182Z',
  updated_at: '2024-10-11T11:50:00.182Z',
  mode: 'test',
  ...product,
})

export const orderOf = (order: Json): Json => ({
  object: 'order',
  customer: CUSTOMER.id,
  discount_amount: 0,
  status: 'paid',
  mode: 'test',
  ...order,
})

export const transactionOf = (transaction: Json): Json => ({
  object: 'transaction',
  tax_country: 'NL',
  refunded_amount: null,
  status: 'paid',
  customer: CUSTOMER.id,
  mode: 'test',
  ...transaction,
})

export const subscriptionOf = (subscription: Json): Json => ({
  object: 'subscription',
  customer: CUSTOMER,
  collection_method: 'charge_automatically',
  status: 'active',
  canceled_at: null,
  mode: 'test',
  ...subscription,
})

/** As it stands within checkouts, refunds and disputes: its relations are ids there. */
export const nestedSubscription = ({ items: _, ...subscription }: Json): Json => ({
  ...subscription,
  product: subscription.product.id,
  customer: CUSTOMER.id,
})

/** As it stands within a refund. */
export const nestedCheckout = ({ id, request_id, metadata }: Json): Json => ({
  id,
  object: 'checkout',
  ...(request_id !== undefined && { request_id }),
  custom_fields: [],
  status: 'completed',
  ...(metadata !== undefined && { metadata }),
  mode: 'test',
})

/** As it stands within a dispute: neither its metadata nor its request id are there. */
export const checkoutOfDispute = ({ id, product }: Json): Json => ({
  id,
  object: 'checkout',
  product: product.id,
  units: 1,
  custom_fields: [],
  status: 'completed',
  mode: 'test',
})
