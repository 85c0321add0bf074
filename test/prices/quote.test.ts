import t from 'tap'
import { createPriceList, type PriceTerms, type Tier } from '../../src/credits/prices/price-list.js'
import { accessOf, quote, settlement } from '../../src/credits/prices/quote.js'
import { AppError } from '../../src/errors.js'

const TIERS: Tier[] = [
  { id: 'free', level: 0 },
  { id: 'basic', level: 10 },
  { id: 'pro', level: 20 },
  { id: 'partner', level: 20 },
]
const BARE: PriceTerms = {
  cost: null,
  tierCosts: null,
  formula: null,
  minimum: null,
  requiredTier: null,
  description: null,
}
const MAX = Number.MAX_SAFE_INTEGER

const listOf = (actions: Record<string, Partial<PriceTerms>>) =>
  createPriceList(
    Object.entries(actions).map(([action, terms]) => ({
      action,
      ...BARE,
      ...terms,
      createdAtMs: 0,
      updatedAtMs: 0,
    })),
    TIERS,
    null,
  )

const ask = (action: string, quantity = 1, variables: Record<string, number> = {}) => ({
  action,
  quantity,
  variables,
})

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
  return 'none'
}

t.test('a fixed price is multiplied by the quantity', async (t) => {
  const list = listOf({ image: { cost: 10 }, free: { cost: 0 }, dear: { cost: MAX } })
  t.same(quote(list, ask('image'), null), { amount: 10, detail: null })
  t.equal(quote(list, ask('image', 3), null).amount, 30)
  t.equal(quote(list, ask('free', 1_000_000), null).amount, 0)
  t.equal(quote(list, ask('dear'), null).amount, MAX)
  t.equal(
    codeOf(() => quote(list, ask('dear', 2), null)),
    'limit_exceeded',
  )
  t.equal(quote(list, ask('image', 1, { tokens: 7 }), null).amount, 10, 'it needs no variables')
})

t.test('no product beyond 2^53 - 1 passes for a smaller one', async (t) => {
  for (const quantity of [2, 3, 7, 999_999, 1_000_000]) {
    const most = Number(BigInt(MAX) / BigInt(quantity))
    const list = listOf({ just: { cost: most }, over: { cost: most + 1 } })
    t.equal(quote(list, ask('just', quantity), null).amount, most * quantity)
    t.equal(
      codeOf(() => quote(list, ask('over', quantity), null)),
      'limit_exceeded',
    )
  }
})

t.test('a tier named in the price pays its own cost, anybody else the general one', async (t) => {
  const list = listOf({ image: { cost: 10, tierCosts: { basic: 8, pro: 0 } } })
  const paid = (tier: string | null) => quote(list, ask('image', 2), tier).amount
  t.equal(paid(null), 20)
  t.equal(paid('free'), 20)
  t.equal(paid('basic'), 16)
  t.equal(paid('pro'), 0)
  t.equal(paid('partner'), 20)
  t.equal(paid('constructor'), 20)
})

t.test('nobody pays less than the minimum', async (t) => {
  const list = listOf({
    chat: { formula: 'tokens * 0.001', minimum: 5 },
    image: { cost: 1, minimum: 5 },
  })
  t.equal(quote(list, ask('chat', 1, { tokens: 0 }), null).amount, 5)
  t.equal(quote(list, ask('chat', 1, { tokens: 5_000 }), null).amount, 5)
  t.equal(quote(list, ask('chat', 1, { tokens: 5_001 }), null).amount, 6)
  t.equal(quote(list, ask('image', 4), null).amount, 5, 'of the whole request, not of each')
  t.equal(quote(list, ask('image', 6), null).amount, 6)
})

t.test('a required tier is met by its level', async (t) => {
  const list = listOf({
    open: { cost: 1 },
    free: { cost: 1, requiredTier: 'free' },
    pro: { cost: 1, requiredTier: 'pro' },
    lost: { cost: 1, requiredTier: 'gone' },
  })
  const code = (action: string, tier: string | null) => codeOf(() => quote(list, ask(action), tier))
  t.equal(code('open', null), 'none')
  t.equal(code('free', null), 'none', 'no membership counts as level 0')
  t.equal(code('pro', null), 'membership_required')
  t.equal(code('pro', 'basic'), 'membership_required')
  t.equal(code('pro', 'pro'), 'none')
  t.equal(code('pro', 'partner'), 'none', 'another tier of the same level')
  t.equal(code('pro', 'abolished'), 'membership_required', 'a tier that is no more')
  t.equal(code('free', 'abolished'), 'none')
  t.equal(code('lost', 'pro'), 'membership_required', 'never open by accident')
  try {
    quote(list, ask('pro'), 'basic')
  } catch (error) {
    t.match(error, { status: 403, fields: { required: 'pro', current: 'basic' } })
  }
})

t.test('refusals come in order: action, membership, price', async (t) => {
  const list = listOf({
    chat: { formula: '10 / x', requiredTier: 'pro' },
    dear: { cost: MAX, requiredTier: 'pro' },
  })
  const code = (action: string, tier: string, quantity = 1, variables = {}) =>
    codeOf(() => quote(list, ask(action, quantity, variables), tier))
  t.equal(code('nothing', 'free'), 'action_not_found')
  t.equal(code('chat', 'free'), 'membership_required')
  t.equal(code('chat', 'pro'), 'missing_variable')
  t.equal(code('chat', 'pro', 1, { x: 0 }), 'formula_error')
  t.equal(code('chat', 'pro', 1, { x: -1 }), 'formula_error')
  t.equal(code('dear', 'free', 2), 'membership_required')
  t.equal(code('dear', 'pro', 2), 'limit_exceeded')
  t.equal(code('toString', 'pro'), 'action_not_found')
})

t.test('a job is settled although its membership has ended', async (t) => {
  const list = listOf({ chat: { formula: 'tokens * 0.5', requiredTier: 'pro' } })
  t.equal(settlement(list, ask('chat', 1, { tokens: 3 }), null).amount, 2)
  t.equal(
    codeOf(() => settlement(list, ask('nothing'), null)),
    'action_not_found',
  )
})

t.test('access tells what a charge would', async (t) => {
  const list = listOf({
    image: { cost: 10, tierCosts: { pro: 8 }, requiredTier: 'basic' },
    chat: { formula: 'tokens * 2' },
    count: { formula: 'quantity * 2' },
  })
  const holder = { tier: 'pro', available: 8, status: 'active' as const }
  const access = (action: string, change: object = {}, quantity = 1) =>
    accessOf(list, ask(action, quantity), { ...holder, ...change })
  t.same(access('image'), {
    action: 'image',
    allowed: true,
    reason: null,
    price: 8,
    requiredTier: 'basic',
    currentTier: 'pro',
    available: 8,
  })
  const short = { allowed: false, reason: 'insufficient_credits', price: 8 }
  t.match(access('image', { available: 7 }), short)
  t.match(access('image', {}, 2), { ...short, price: 16 })
  const barred = { allowed: false, reason: 'membership_required', price: null, currentTier: null }
  t.match(access('image', { tier: null }), barred)
  t.match(access('chat'), { allowed: true, reason: 'missing_variable', price: null })
  t.match(access('count', {}, 4), { allowed: true, price: 8 })
  t.match(access('image', { status: 'frozen' }), { allowed: false, reason: 'account_frozen' })
  t.match(access('image', { status: 'closed' }), { allowed: false, reason: 'account_closed' })
  t.equal(
    codeOf(() => access('nothing')),
    'action_not_found',
  )
})

t.test('formulas that are known already are not read again', async (t) => {
  const before = listOf({ a: { formula: 'x * 2' }, b: { formula: 'x * 3' } })
  const price = (action: string, formula: string) => ({
    action,
    ...BARE,
    formula,
    createdAtMs: 0,
    updatedAtMs: 1,
  })
  const after = createPriceList([price('a', 'x * 2'), price('b', 'x * 4')], TIERS, before)
  t.equal(after.actions.get('a')?.formula(), before.actions.get('a')?.formula())
  t.equal(quote(after, ask('b', 1, { x: 2 }), null).amount, 8)
})
