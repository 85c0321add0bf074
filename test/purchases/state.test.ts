import fc from 'fast-check'
import t from 'tap'
import type { CheckoutFact, Reversal } from '../../src/payment-facts.js'
import { absorb, standingOf, targetOf } from '../../src/purchases/state.js'
import {
  CREDITS,
  known,
  newWorld,
  PRICE,
  settle,
  settler,
  standing,
  type Told,
  tell,
  type World,
} from './state-world.js'

const RUNS = Number(process.env.FC_RUNS ?? 1_000)

const checkout = (change: Partial<CheckoutFact> = {}): CheckoutFact => ({
  kind: 'checkout',
  provider: 'stripe',
  purchaseId: 'pur_1',
  checkoutId: 'cs_1',
  paymentId: change.state === undefined || change.state === 'paid' ? 'pi_1' : null,
  state: 'paid',
  subtotal: PRICE,
  amount: PRICE,
  currency: 'USD',
  priceId: 'price_1',
  quantity: 1,
  ...change,
})

const checkouts: fc.Arbitrary<Told> = fc
  .constantFrom<CheckoutFact['state']>('paid', 'paid', 'processing', 'failed', 'expired')
  .map((state) => ({ kind: 'checkout', fact: checkout({ state }) }))

const statesOf = (type: Reversal['type']): Reversal['state'][] =>
  type === 'refund'
    ? ['pending', 'succeeded', 'failed']
    : ['inquiry', 'open', 'withdrawn', 'won', 'lost', 'closed']

const reversals: fc.Arbitrary<Told> = fc
  .record({
    type: fc.constantFrom<Reversal['type']>('refund', 'dispute'),
    n: fc.integer({ min: 1, max: 3 }),
    amount: fc.oneof(fc.integer({ min: 1, max: PRICE }), fc.constant(PRICE)),
    asOfMs: fc.integer({ min: 1, max: 5 }),
    at: fc.nat({ max: 5 }),
  })
  .map(({ type, n, amount, asOfMs, at }) => {
    const states = statesOf(type)
    const state = states[at % states.length] ?? 'closed'
    const reversal = { id: `${type}_${n}`, type, amount, state, asOfMs, paidAmount: PRICE }
    return { kind: 'reversal', reversal }
  })

/** Facts, the same again in another order and some twice. */
const stories = fc
  .array(fc.oneof(checkouts, reversals), { minLength: 1, maxLength: 10, size: 'max' })
  .chain((told) =>
    fc.record({
      told: fc.constant(told),
      again: fc
        .tuple(fc.shuffledSubarray(told, { minLength: told.length }), fc.subarray(told))
        .chain(([all, some]) =>
          fc.shuffledSubarray([...all, ...some], { minLength: all.length + some.length }),
        ),
    }),
  )

const endOf = (world: World) => ({
  checkoutState: world.purchase.checkoutState,
  paymentId: world.purchase.paymentId,
  standing: standing(world),
  credits: creditsIn(world),
  isFrozen: world.isFrozen,
})

const creditsIn = ({ granted, taken }: World): number => granted.size * CREDITS - taken

const tellAll = (told: readonly Told[]): World => {
  const world = newWorld()
  for (const one of told) {
    tell(world, one)
    settle(world)
  }
  return world
}

t.test(
  'the same facts end in the same state and credits, in any order, however often',
  async () => {
    const check = fc.property(stories, ({ told, again }) => {
      const [one, other] = [tellAll(told), tellAll(again)]
      const [a, b] = [endOf(one), endOf(other)]
      if (JSON.stringify(a) !== JSON.stringify(b)) {
        throw new Error(`${JSON.stringify(a)}\n${JSON.stringify(b)}`)
      }
    })
    fc.assert(check, { numRuns: RUNS })
  },
)

/** At each turn somebody is told a fact, begins to settle, goes on, or dies; or one does it all. */
const ACTS = ['tell', 'begin', 'go', 'go', 'go', 'go', 'settle', 'die']
const schedules = fc.array(fc.record({ act: fc.constantFrom(...ACTS), who: fc.nat() }), {
  maxLength: 60,
  size: 'max',
})

const play = (told: readonly Told[], schedule: readonly { act: string; who: number }[]): World => {
  const world = newWorld()
  const untold = [...told]
  const settlers: Generator<void, void>[] = []
  for (const { act, who } of schedule) {
    const at = who % Math.max(settlers.length, 1)
    if (act === 'tell') for (const one of untold.splice(0, 1)) tell(world, one)
    if (act === 'settle') settle(world)
    if (act === 'begin' && settlers.length < 3) settlers.push(settler(world))
    if (act === 'go' && settlers[at]?.next().done) settlers.splice(at, 1)
    // a stale freeze is made good by whoever made it, so nobody dies holding one
    if (act === 'die' && world.purchase.freeze === null) settlers.splice(at, 1)
  }
  for (const one of untold) tell(world, one)
  settle(world)
  // those that slept all the while wake up, and none of them does harm
  for (const sleeper of settlers) for (const _pause of sleeper);
  settle(world)
  return world
}

t.test('many who settle at once, and die anywhere, leave the credits as one would', async () => {
  const begun = fc
    .array(fc.oneof(checkouts, reversals, reversals), { maxLength: 8, size: 'max' })
    .map((told): Told[] => [{ kind: 'checkout', fact: checkout() }, ...told])
  const check = fc.property(
    fc.oneof(
      begun,
      begun,
      stories.map(({ told }) => told),
    ),
    schedules,
    (told, schedule) => {
      const world = play(told, schedule)
      const { target } = standing(world)
      const isPaid = world.purchase.checkoutState === 'paid'
      const credits = creditsIn(world)
      if (credits !== (isPaid ? CREDITS - target : 0)) {
        throw new Error(`${credits} credits where ${target} were to be taken back`)
      }
      if (world.granted.size > 1) throw new Error('granted twice')
      if (isPaid && world.granted.size === 0 && target < CREDITS) throw new Error('not granted')
    },
  )
  fc.assert(check, { numRuns: RUNS * 10 })
})

t.test('what is taken back is the exact share, rounded up, and never more than all', async (t) => {
  const amounts = fc.maxSafeInteger().filter((n) => n > 0)
  fc.assert(
    fc.property(amounts, amounts, fc.maxSafeInteger(), (credits, paidAmount, part) => {
      const reversedAmount = Math.abs(part) % (paidAmount + 1)
      const target = targetOf(credits, { reversedAmount, paidAmount })
      const exact = BigInt(credits) * BigInt(reversedAmount)
      const isEnough = BigInt(target) * BigInt(paidAmount) >= exact
      const isLeast = target === 0 || BigInt(target - 1) * BigInt(paidAmount) < exact
      return isEnough && isLeast && target <= credits
    }),
    { numRuns: RUNS },
  )
  t.equal(targetOf(100, { reversedAmount: 1, paidAmount: 500 }), 1)
  t.equal(targetOf(100, { reversedAmount: 0, paidAmount: 500 }), 0)
  t.equal(targetOf(100, { reversedAmount: 500, paidAmount: 500 }), 100)
})

const paid = () => {
  const world = newWorld()
  tell(world, { kind: 'checkout', fact: checkout() })
  settle(world)
  return world
}

t.test('what contradicts the sale is refused, and a second payment too', async (t) => {
  const { purchase } = paid()
  const sold = { ...purchase, priceId: 'price_1' }
  for (const [change, reason] of [
    [{ currency: 'EUR' }, /currency is EUR and not USD/],
    [{ subtotal: 499 }, /price is 499 and not 500/],
    [{ priceId: 'price_2' }, /price id is price_2/],
    [{ quantity: 2 }, /quantity is 2/],
    [{ subtotal: null, checkoutId: null, amount: 499 }, /price is 499 and not 500/],
    [{ provider: 'creem' }, /provider is creem/],
    [{ checkoutId: 'cs_2' }, /another checkout/],
    [{ paymentId: 'pi_2' }, /pi_2 comes on top of pi_1/],
  ] as const) {
    t.match(absorb(sold, checkout(change)), { kind: 'refused', reason })
  }
  t.match(absorb(sold, checkout()), { kind: 'known' })
  const untold = { subtotal: null, currency: null, priceId: null, amount: null, checkoutId: null }
  t.match(absorb(sold, checkout(untold)), { kind: 'known' })
  const discounted = checkout({ subtotal: null, amount: 400 })
  t.match(absorb(sold, discounted), { kind: 'known' }, 'a checkout may give a discount')
})

t.test('paid beats what comes late, and what comes late does not', async (t) => {
  for (const state of ['expired', 'failed', 'processing'] as const) {
    const world = paid()
    tell(world, { kind: 'checkout', fact: checkout({ state }) })
    t.equal(standing(world).status, 'completed', `${state} after paid`)
    const other = newWorld()
    tell(other, { kind: 'checkout', fact: checkout({ state }) })
    t.equal(standing(other).status, state)
    tell(other, { kind: 'checkout', fact: checkout() })
    settle(other)
    t.equal(standing(other).status, 'completed', `paid after ${state}`)
  }
})

const reversal = (type: Reversal['type'], state: Reversal['state'], amount = PRICE, asOfMs = 1) =>
  ({
    kind: 'reversal',
    reversal: { id: `${type}_1`, type, state, amount, asOfMs, paidAmount: PRICE },
  }) as const

t.test('each state of a refund or dispute comes to its status, credits and freeze', async (t) => {
  for (const [type, state, status, credits, isFrozen] of [
    ['refund', 'pending', 'completed', 100, false],
    ['refund', 'succeeded', 'refunded', 0, false],
    ['refund', 'failed', 'completed', 100, false],
    ['dispute', 'inquiry', 'completed', 100, false],
    ['dispute', 'open', 'disputed', 100, true],
    ['dispute', 'withdrawn', 'disputed', 0, true],
    ['dispute', 'won', 'completed', 100, false],
    ['dispute', 'lost', 'disputed', 0, true],
    ['dispute', 'closed', 'completed', 100, false],
  ] as const) {
    const world = paid()
    tell(world, reversal(type, state))
    settle(world)
    t.same(
      [standing(world).status, creditsIn(world), world.isFrozen],
      [status, credits, isFrozen],
      `${type} ${state}`,
    )
  }
})

t.test('a dispute after a partial refund takes no more than was paid', async (t) => {
  const world = paid()
  tell(world, reversal('refund', 'succeeded', 300))
  settle(world)
  t.equal(creditsIn(world), 40)
  tell(world, reversal('dispute', 'withdrawn'))
  settle(world)
  t.equal(creditsIn(world), 0)
  t.match(standing(world), { reversedAmount: PRICE, refundedAmount: 300, status: 'disputed' })
  tell(world, reversal('dispute', 'won', PRICE, 2))
  settle(world)
  t.equal(creditsIn(world), 40, 'won: the refund stays')
  t.equal(world.isFrozen, false)
})

t.test('refunds count on the basis they come with: the price is before tax', async (t) => {
  const { purchase } = paid()
  const refund = { id: 'r', type: 'refund', state: 'succeeded', amount: 605, asOfMs: 1 } as const
  t.match(standingOf(purchase, [{ ...refund, paidAmount: 605 }]), {
    status: 'refunded',
    target: 100,
  })
  t.match(standingOf(purchase, [{ ...refund, amount: 121, paidAmount: 605 }]), { target: 20 })
})

t.test('all reversed before it was granted: nothing is granted and nothing taken', async (t) => {
  const world = newWorld()
  tell(world, reversal('refund', 'succeeded'))
  tell(world, { kind: 'checkout', fact: checkout() })
  settle(world)
  t.equal(world.granted.size, 0)
  t.equal(standing(world).status, 'refunded')
  tell(world, reversal('refund', 'failed', PRICE, 2))
  settle(world)
  t.equal(creditsIn(world), CREDITS, 'the refund failed after all')
  t.equal(known(world).length, 1)
})
