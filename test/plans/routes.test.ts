import t from 'tap'
import { openScene, putPlan } from './kit.js'

const NEW = { tier: 'pro', monthlyCredits: 50 }

t.test('five plans are there from the beginning, and anybody may see them', async (t) => {
  const { call } = await openScene(t)
  const { body } = await call('GET', '/v1/plans', undefined, { key: null })
  t.match(body, {
    plans: [
      { id: 'free', tier: 'free', monthlyCredits: 10, rolloverEnabled: false, rolloverMax: 0 },
      { id: 'pro', tier: 'pro', monthlyCredits: 300, bonusPercentage: 0 },
      { id: 'pro_monthly', tier: 'pro', monthlyCredits: 300 },
      { id: 'pro_yearly', tier: 'pro', monthlyCredits: 400 },
      { id: 'lifetime', tier: 'lifetime', monthlyCredits: 1000 },
    ],
    nextCursor: null,
  })
  t.equal(body.plans.length, 5)
  const page = (await call('GET', '/v1/plans?limit=2', undefined, { key: null })).body
  t.same(
    page.plans.map(({ id }: { id: string }) => id),
    ['free', 'pro'],
  )
  const next = await call('GET', `/v1/plans?limit=9&cursor=${page.nextCursor}`)
  t.match(next.body, { plans: [{ id: 'pro_monthly' }, {}, {}], nextCursor: null })
  t.match(await call('GET', '/v1/plans/lifetime', undefined, { key: null }), {
    status: 200,
    body: { id: 'lifetime', tier: 'lifetime', active: true, trialCredits: false },
  })
  t.match(await call('GET', '/v1/plans/none', undefined, { key: null }), {
    status: 404,
    body: { code: 'plan_not_found' },
  })
  t.match(await call('GET', '/v1/plans?cursor=WyJ4Il0'), { status: 400 })
})

t.test('a plan is made, changed by what is named, and seen by another instance', async (t) => {
  const scene = await openScene(t)
  const other = await openScene(t, { url: scene.url })
  const { call } = scene
  const made = await call('PUT', '/v1/plans/team', {
    ...NEW,
    rolloverEnabled: true,
    rolloverMax: 25,
    bonusPercentage: 20,
    stripePriceId: 'price_team',
    description: 'For teams',
  })
  t.match(made, { status: 201, body: { id: 'team', name: 'team', active: true, sortOrder: 0 } })
  t.same((await other.call('GET', '/v1/plans/team')).body, made.body)
  const changed = await other.call('PUT', '/v1/plans/team', { active: false, description: null })
  t.match(changed, {
    status: 200,
    body: { active: false, description: null, monthlyCredits: 50, stripePriceId: 'price_team' },
  })
  t.match((await call('GET', '/v1/plans/team')).body, { active: false })
  const ids = async (query: string) =>
    (await call('GET', `/v1/plans${query}`)).body.plans.map(({ id }: { id: string }) => id)
  t.notOk((await ids('')).includes('team'), 'what is not offered is not listed')
  t.ok((await ids('?all=true')).includes('team'))
  t.match(await call('GET', '/v1/plans?all=true', undefined, { key: null }), { status: 401 })
  const { entries } = (await call('GET', '/v1/audit-log?limit=5')).body
  t.ok(entries.some(({ action }: { action: string }) => action === 'plan_put'))
})

t.test('a plan that can not be is refused, and says what of it', async (t) => {
  const { call } = await openScene(t)
  const refused = async (body: unknown, path: string, id = 'team') => {
    const reply = await call('PUT', `/v1/plans/${id}`, body)
    const seen = { status: 400, body: { code: 'invalid_request', errors: [{ path }] } }
    t.match(reply, seen, JSON.stringify(body))
  }
  await refused({ monthlyCredits: 5 }, 'tier')
  await refused({ tier: 'pro' }, 'monthlyCredits')
  await refused({ ...NEW, tier: 'gold' }, 'tier')
  await refused({ ...NEW, tier: '' }, 'tier')
  for (const bad of [-1, 1.5, 1e12 + 1, '5', null, true]) {
    await refused({ ...NEW, monthlyCredits: bad }, 'monthlyCredits')
    await refused({ ...NEW, rolloverMax: bad }, 'rolloverMax')
  }
  for (const bad of [-1, 0.5, 1001]) {
    await refused({ ...NEW, bonusPercentage: bad }, 'bonusPercentage')
  }
  await refused({ ...NEW, rolloverEnabled: 'yes' }, 'rolloverEnabled')
  await refused({ ...NEW, stripePriceId: 'with space' }, 'stripePriceId')
  await refused({ ...NEW, name: 'x\u0000' }, 'name')
  await refused({ ...NEW, price: 5 }, 'price')
  await refused(NEW, 'planId', 'Team')
  await call('PUT', '/v1/plans/team', { ...NEW, stripePriceId: 'price_1' })
  await refused({ ...NEW, stripePriceId: 'price_1' }, 'stripePriceId', 'other')
  t.equal((await call('PUT', '/v1/plans/team', { stripePriceId: 'price_1' })).status, 200)
  t.equal((await call('GET', '/v1/plans/other')).status, 404)
})

t.test('a subscription is refused where it can not be', async (t) => {
  const scene = await openScene(t)
  const { call, open } = scene
  await open('ada')
  await open('eve')
  await open('zoe')
  await call('DELETE', '/v1/accounts/zoe')
  await putPlan(scene, 'old', { ...NEW, active: false })
  const put = (accountId: string, body: unknown) =>
    call('PUT', `/v1/accounts/${accountId}/subscription`, body)
  const billed = { planId: 'pro', provider: 'stripe', providerSubscriptionId: 'sub_1' }
  for (const [status, code, reply] of [
    [400, 'invalid_request', await put('ada', {})],
    [400, 'invalid_request', await put('ada', { planId: 'PRO' })],
    [400, 'invalid_request', await put('ada', { planId: 'pro', provider: 'stripe' })],
    [400, 'invalid_request', await put('ada', { planId: 'pro', providerSubscriptionId: 's' })],
    [400, 'invalid_request', await put('ada', { ...billed, provider: 'paypal' })],
    [400, 'invalid_request', await put('ada', { planId: 'pro', tier: 'pro' })],
    [404, 'plan_not_found', await put('ada', { planId: 'none' })],
    [404, 'account_not_found', await put('bob', { planId: 'pro' })],
    [409, 'account_closed', await put('zoe', { planId: 'pro' })],
    [409, 'plan_inactive', await put('ada', { planId: 'old' })],
  ] as const) {
    t.match(reply, { status, body: { code } })
  }
  const path = '/v1/accounts/ada/subscription'
  t.match(await call('GET', path), { status: 404, body: { code: 'subscription_not_found' } })
  t.match(await call('DELETE', path), { status: 404, body: { code: 'subscription_not_found' } })
  t.match(await call('GET', '/v1/accounts/bob/subscription'), {
    status: 404,
    body: { code: 'account_not_found' },
  })
  t.equal((await put('ada', billed)).status, 200)
  t.match(await put('eve', billed), { status: 400, body: { code: 'invalid_request' } }, 'taken')
  t.match(await put('ada', { planId: 'lifetime' }), {
    status: 409,
    body: { code: 'provider_refused' },
  })
  t.match(await put('ada', { ...billed, planId: 'lifetime' }), {
    status: 409,
    body: { code: 'provider_refused' },
  })
  t.match(await scene.balance('ada'), { balance: 0 }, 'and nothing was given for it')
  t.same(await scene.mismatches(), [])
})

t.test('a repeat under the same key is answered as the first was', async (t) => {
  const { call, open } = await openScene(t)
  await open('ada')
  const path = '/v1/accounts/ada/subscription'
  const first = await call('PUT', path, { planId: 'pro' }, { idempotencyKey: 'k' })
  const again = await call('PUT', path, { planId: 'pro' }, { idempotencyKey: 'k' })
  t.same(again.body, first.body)
  t.equal(again.headers['idempotent-replayed'], 'true')
  t.match(await call('PUT', path, { planId: 'free' }, { idempotencyKey: 'k' }), { status: 422 })
})

t.test('what rolls over is told with the status of the credits', async (t) => {
  const scene = await openScene(t)
  await scene.open('ada')
  const status = async (query = '') => (await scene.call('GET', `/v1/credits/status${query}`)).body
  t.match(await status(), { rollover: false, rolloverMax: null })
  await putPlan(scene, 'roll', { ...NEW, rolloverEnabled: true, rolloverMax: 25 })
  t.match(await status(), { rollover: true })
  t.match(await status('?accountId=ada'), { rollover: false, rolloverMax: null })
  await scene.subscribe('ada', 'roll')
  t.match(await status('?accountId=ada'), { rollover: true, rolloverMax: 25 })
})
