import type { CreemClient } from './creem-client.js'
import { type Fields, fieldsOf, idOf, listOf } from './creem-fields.js'

const PAGE_SIZE = 100
/** 50,000 objects: some minutes of calls. */
const MAX_PAGES = 500
/** An order has one payment, and perhaps some attempts that failed. */
const ATTEMPTS_LIMIT = 20

/** Statuses of a transaction by which money came in, whatever became of it since. */
const PAID: ReadonlySet<unknown> = new Set([
  ...['paid', 'refunded', 'partialRefund', 'chargedBack', 'chargeback'],
])

export const isPaid = ({ status }: Fields): boolean => PAID.has(status)

/** What can be read anew of Creem; null: it has no such thing, or there is no key to ask with. */
export type CreemReader = {
  checkout(id: string): Promise<Fields | null>
  subscription(id: string): Promise<Fields | null>
  transaction(id: string): Promise<Fields | null>
  /** The payment of an order. */
  transactionOfOrder(orderId: string): Promise<Fields | null>
  /** Everything there is, in pages; `isCut` on the last of them: there is more. */
  pages(kind: 'subscriptions' | 'transactions'): AsyncIterable<CreemPage>
}

export type CreemPage = {
  readonly items: readonly Fields[]
  readonly isCut: boolean
  /** When reading it began, by the database's clock. */
  readonly asOfMs: number
}

export const createCreemReader = (client: CreemClient | null, now: () => number): CreemReader => {
  const find = async (path: string, name: string, id: string) => {
    const found = await client?.find(path, { [name]: id })
    // an empty answer is no object
    return found && idOf(found) !== null ? found : null
  }
  return {
    checkout: (id) => find('/v1/checkouts', 'checkout_id', id),
    subscription: (id) => find('/v1/subscriptions', 'subscription_id', id),
    transaction: (id) => find('/v1/transactions', 'transaction_id', id),
    async transactionOfOrder(orderId) {
      const query = { order_id: orderId, page_size: String(ATTEMPTS_LIMIT) }
      const found = await client?.find('/v1/transactions/search', query)
      const own = listOf(found?.items).filter(({ order }) => idOf(order) === orderId)
      return own.find(isPaid) ?? null
    },
    pages: (kind) => pagesOf(client, kind, now),
  }
}

async function* pagesOf(
  client: CreemClient | null,
  kind: 'subscriptions' | 'transactions',
  now: () => number,
): AsyncIterable<CreemPage> {
  let page = 1
  for (let count = 1; client !== null; count++) {
    const query = { page_number: String(page), page_size: String(PAGE_SIZE) }
    const asOfMs = now()
    const { items, pagination } = await client.get(`/v1/${kind}/search`, query)
    const found = listOf(items)
    const next = fieldsOf(pagination).next_page
    const isLast = typeof next !== 'number' || next <= page || found.length === 0
    yield { items: found, isCut: !isLast && count === MAX_PAGES, asOfMs }
    if (isLast || count === MAX_PAGES) return
    page = next
  }
}
