import t from 'tap'
import type { PaymentFact } from '../../src/payment-facts.js'
import { createStripe } from '../../src/purchases/providers/stripe.js'
import { startStripe } from '../helpers/stripe-stand-in.js'
import { add } from './stripe-kit.js'

const DAY_S = 86_400

t.test(
  'the list tells how each subscription stands, and not those that ended before',
  async (t) => {
    const { apiKey, url: apiUrl, objects } = await startStripe(t)
    const where = { apiKey, apiUrl, webhookSecrets: [], now: Date.now, log: { warn() {} } }
    const stripe = createStripe(where)
    const nowS = Math.floor(Date.now() / 1000)
    const begun = (status: string, endedAt: number | null, count = 1) =>
      Array.from({ length: count }, () =>
        add(objects.subscriptions, 'sub', {
          ...{ object: 'subscription', status, ended_at: endedAt, cancel_at: null },
          ...{ created: nowS - 400 * DAY_S, cancel_at_period_end: false },
          ...{ metadata: { accountId: 'ann' }, items: { data: [] } },
        }),
      ).map(({ id }) => id)
    const [ended] = begun('canceled', nowS - DAY_S)
    const [longGone] = begun('canceled', nowS - 3 * DAY_S)
    const [late] = begun('past_due', null)
    const others = begun('active', null, 120)
    const told = new Map<string, string>()
    const sinceMs = (nowS - 2 * DAY_S) * 1000
    for await (const facts of stripe.list(sinceMs)) for (const fact of facts) note(told, fact)
    t.equal(told.get(String(ended)), 'canceled')
    t.equal(told.get(String(late)), 'past_due')
    t.notOk(told.has(String(longGone)))
    t.ok(
      others.every((id) => told.get(id) === 'active'),
      'on more than one page',
    )
  },
)

const note = (told: Map<string, string>, fact: PaymentFact): void => {
  if (fact.kind === 'subscription') told.set(fact.subscriptionId, fact.status)
}
