import type { Test } from 'tap'
import { type ComposedPurchases, composePurchases } from '../../src/compose-purchases.js'
import type { CheckoutFact, Reversal, ReversalFact } from '../../src/payment-facts.js'
import type { Reply, TestApp } from '../helpers/app.js'
import type { TestContext } from '../helpers/database.js'
import { openScene, type Scene } from '../sessions/kit.js'

/** Purchases are on, and limits are another matter. */
const SELLING = { ENABLE_CREDIT_PURCHASES: 'true', RATE_LIMIT_PAYMENT: '100000/1m' }

export type Shop = Scene & {
  /** The services under the routes, with the given ones in place of its own. */
  services(
    change?: Partial<TestApp['core']>,
    beside?: Partial<Parameters<typeof composePurchases>[1]>,
  ): ComposedPurchases & { runJob(): Promise<string | undefined> }
  /** Begins a purchase of the account; its reply's body. */
  buy(accountId: string, body?: object): Promise<Reply['body']>
  /** What is there of a purchase now. */
  purchase(id: string): Promise<Reply['body']>
  balance(accountId: string): Promise<Reply['body']>
  /** Types and amounts of the rows of an account, oldest first. */
  rows(accountId: string): Promise<[string, number][]>
  /** The types of what others were told of an account, oldest first. */
  told(accountId: string): Promise<string[]>
  /** Holds all accounts and all purchases against the ledger. */
  mustBeSound(t: Pick<Test, 'same'>): Promise<void>
}

export const openShop = async (
  t: TestContext,
  setup: Parameters<typeof openScene>[1] = {},
): Promise<Shop> => {
  const scene = await openScene(t, { ...setup, environment: { ...SELLING, ...setup.environment } })
  const { call, core } = scene
  return {
    ...scene,
    services(change = {}, beside = {}) {
      let run: () => Promise<string | undefined> = async () => undefined
      const jobs = {
        ...core.jobs,
        add: (job: { name: string; run: (signal: AbortSignal) => Promise<string | undefined> }) => {
          if (job.name === 'purchases.finish') run = () => job.run(new AbortController().signal)
        },
      }
      const composed = composePurchases(
        { ...core, ...change, jobs },
        { payeeOf: async (id) => id, emailOf: async () => null, ...beside },
      )
      return { ...composed, runJob: () => run() }
    },
    async buy(accountId, body = {}) {
      const asked = { accountId, packageId: 'pkg_starter', ...body }
      const reply = await call('POST', '/v1/purchases', asked)
      if (reply.status !== 201) throw new Error(`not begun: ${JSON.stringify(reply.body)}`)
      return reply.body
    },
    purchase: async (id) => (await call('GET', `/v1/purchases/${id}`)).body,
    balance: async (accountId) => (await call('GET', `/v1/accounts/${accountId}/balance`)).body,
    async rows(accountId) {
      const { rows } = await core.db.pool.query<{ type: string; amount: number }>(
        'select type, amount from transactions where account_id = $1 order by seq',
        [accountId],
      )
      return rows.map(({ type, amount }) => [type, amount])
    },
    async told(accountId) {
      const { rows } = await core.db.pool.query<{ type: string }>(
        'select type from events where account_id = $1 order by created_at, id',
        [accountId],
      )
      return rows.map(({ type }) => type)
    },
    async mustBeSound(t) {
      const { body } = await call('GET', '/v1/reconcile')
      t.same(body.mismatches, [], 'the ledger is sound')
      const { rows } = await core.db.pool.query(UNSOUND)
      t.same(rows, [], 'every purchase has what the ledger says')
    },
  }
}

/** Purchases whose row says something else than the ledger: their grant, and what came back. */
const UNSOUND = `
  with ledger as (
    select p.id,
           (select count(*) from transactions t
             where t.type = 'grant' and t.detail ->> 'purchaseId' = p.id
               and t.account_id = p.granted_to)::int as granted,
           (select g.amount from grants g
             where g.account_id = p.granted_to and g.grant_seq = p.grant_seq) as amount,
           coalesce((select sum(r.amount) from refunds r
             where r.account_id = p.granted_to and r.charge_seq = p.grant_seq), 0)::bigint
             + coalesce((select sum(case t.type when 'grant' then -t.amount
                                                else (t.detail ->> 'clawedBack')::bigint end)
                           from transactions t
                          where t.account_id = p.collected_from and t.type in ('claw_back', 'grant')
                            and t.detail ->> 'purchaseId' = p.id), 0)::bigint as taken
      from credit_purchases p)
  select p.id, p.status, p.credits, p.claw_back_target, ledger.granted, ledger.amount, ledger.taken
    from credit_purchases p
    join ledger on ledger.id = p.id
   where ledger.granted <> (p.grant_seq is not null)::int
      or ledger.amount <> p.credits
      or ledger.taken <> p.claw_back_target
      or p.claw_back_step <> p.claw_back_done_step
      or (p.status = 'completed' and p.grant_seq is null)`

/** That a purchase was paid, as it was agreed. */
export const paidFact = (
  purchase: Reply['body'],
  change: Partial<CheckoutFact> = {},
): CheckoutFact => ({
  kind: 'checkout',
  provider: purchase.provider,
  purchaseId: purchase.purchaseId,
  checkoutId: null,
  paymentId: `pay_${purchase.purchaseId}`,
  state: 'paid',
  subtotal: purchase.amount,
  amount: purchase.amount,
  currency: purchase.currency,
  priceId: null,
  quantity: 1,
  ...change,
})

/** That its payment has these refunds and disputes. */
export const reversalFact = (
  purchase: Reply['body'],
  asOfMs: number,
  ...reversals: readonly Reversal[]
): ReversalFact => ({
  kind: 'reversal',
  provider: purchase.provider,
  purchaseId: purchase.purchaseId,
  paymentId: `pay_${purchase.purchaseId}`,
  paidAmount: purchase.amount,
  currency: purchase.currency,
  reversals,
  asOfMs,
})
