import t from 'tap'
import { openShop, paidFact, reversalFact } from './kit.js'

t.test('what a guest bought goes to the user that the guest has become', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const guest = await shop.guest()
  const bought = await shop.as(guest.token, 'POST', '/v1/purchases', { packageId: 'pkg_starter' })
  const userToken = await shop.begin('ada')
  const converted = await shop.as(guest.token, 'POST', '/v1/sessions/current/convert', {
    userToken,
  })
  t.equal(converted.status, 200)
  const confirmed = await shop.call('POST', `/v1/purchases/${bought.body.purchaseId}/confirm`)
  t.match(confirmed, { status: 200, body: { status: 'completed', accountId: guest.accountId } })
  t.match(await shop.balance('ada'), { balance: 100 })
  await shop.mustBeSound(t)
})

t.test('what is paid back to a guest is taken from the user the guest has become', async (t) => {
  const shop = await openShop(t)
  await shop.open('ada')
  const guest = await shop.guest()
  const bought = await shop.as(guest.token, 'POST', '/v1/purchases', { packageId: 'pkg_starter' })
  const path = `/v1/purchases/${bought.body.purchaseId}`
  await shop.call('POST', `${path}/confirm`)
  await shop.call('POST', `/v1/accounts/${guest.accountId}/charges`, { amount: 60 })
  await shop.call('POST', `${path}/refund`, { amount: 100 })
  t.match(await shop.balance(guest.accountId), { balance: 20 }, 'a fifth, while it is a guest')
  const userToken = await shop.begin('ada')
  await shop.as(guest.token, 'POST', '/v1/sessions/current/convert', { userToken })
  t.match(await shop.balance('ada'), { balance: 20, debt: 0 })
  const half = await shop.call('POST', `${path}/refund`, { amount: 150 })
  t.match(half.body, { status: 'completed', refundedAmount: 250, creditsClawedBack: 50 })
  t.match(await shop.balance('ada'), { balance: 0, debt: 10 }, '30 more, of which 20 are there')
  const whole = await Promise.all(
    Array.from({ length: 20 }, () => shop.call('POST', `${path}/refund`)),
  )
  t.ok(whole.some(({ status }) => status === 200))
  t.match(await shop.purchase(bought.body.purchaseId), {
    ...{ status: 'refunded', refundedAmount: 500, creditsClawedBack: 100 },
  })
  t.match(await shop.balance('ada'), { balance: 0, debt: 60 }, 'what the guest has spent is owed')
  await shop.mustBeSound(t)
})

t.test('a guest that stays open for a hold: refunds are taken from the user', async (t) => {
  for (const isCaptured of [false, true]) {
    const shop = await openShop(t)
    await shop.open('ada')
    const guest = await shop.guest()
    const bought = await shop.as(guest.token, 'POST', '/v1/purchases', { packageId: 'pkg_starter' })
    const path = `/v1/purchases/${bought.body.purchaseId}`
    await shop.call('POST', `${path}/confirm`)
    const hold = { amount: 1, ttlSeconds: 600 }
    const holds = `/v1/accounts/${guest.accountId}/holds`
    const { body } = await shop.call('POST', holds, hold)
    const userToken = await shop.begin('ada')
    await shop.as(guest.token, 'POST', '/v1/sessions/current/convert', { userToken })
    t.match(await shop.balance('ada'), { balance: 99, debt: 0 })
    const whole = await shop.call('POST', `${path}/refund`)
    t.match(whole.body, { status: 'refunded', creditsClawedBack: 100 })
    t.match(await shop.balance('ada'), { balance: 0, debt: 1 })
    t.match(await shop.balance(guest.accountId), { balance: 1, debt: 0 }, 'the guest owes nothing')
    await shop.mustBeSound(t)
    const end = isCaptured ? 'capture' : 'release'
    const ended = await shop.call('POST', `${holds}/${body.holdId}/${end}`, {})
    t.equal(ended.status, 200)
    await shop.mustBeSound(t)
  }
})

t.test('a claw-back that was begun at the guest is finished there, once', async (t) => {
  const shop = await openShop(t)
  await shop.open('guest')
  await shop.open('ada')
  const purchase = await shop.buy('guest')
  const { core } = shop
  let payee = 'guest'
  const beside = { payeeOf: async () => payee }
  const whole = shop.services({}, beside)
  t.same(await whole.takeFact(paidFact(purchase)), { kind: 'applied' })
  const died = new Error('the process has died')
  const dying = {
    ledger: {
      ...core.ledger,
      async submit(operation: Parameters<typeof core.ledger.submit>[0]) {
        const done = await core.ledger.submit(operation)
        if (operation.kind === 'claw_back') throw died
        return done
      },
    },
  }
  const half = { id: 're_1', type: 'refund', amount: 250, state: 'succeeded' } as const
  const told = reversalFact(purchase, 1, half)
  await t.rejects(shop.services(dying, beside).takeFact(told), died)
  t.match(await shop.balance('guest'), { balance: 50 }, 'done, and not noted')
  payee = 'ada'
  await shop.call('POST', '/v1/accounts/ada/grants', { amount: 50 })
  t.same(await whole.takeFact(told), { kind: 'applied' })
  t.match(await shop.balance('guest'), { balance: 50, debt: 0 })
  t.match(await shop.balance('ada'), { balance: 50, debt: 0 }, 'it was taken already')
  await shop.mustBeSound(t)
  const rest = { ...half, id: 're_2' }
  t.same(await whole.takeFact(reversalFact(purchase, 2, rest)), { kind: 'applied' })
  t.match(await shop.balance('guest'), { balance: 50, debt: 0 }, "the next step is the user's")
  t.match(await shop.balance('ada'), { balance: 0, debt: 0 })
  await shop.mustBeSound(t)
})

t.test(
  'a claw-back that follows a guest is done once, whoever dies, and undone once',
  async (t) => {
    const shop = await openShop(t)
    await shop.open('guest')
    await shop.open('ada')
    await shop.call('POST', '/v1/accounts/ada/grants', { amount: 70 })
    const purchase = await shop.buy('guest')
    const { core } = shop
    let payee = 'guest'
    const beside = { payeeOf: async () => payee }
    const whole = shop.services({}, beside)
    t.same(await whole.takeFact(paidFact(purchase)), { kind: 'applied' })
    await shop.call('POST', '/v1/accounts/guest/charges', { amount: 100 })
    await shop.call('DELETE', '/v1/accounts/guest')
    payee = 'ada'
    const died = new Error('the process has died')
    const deaths = { before: 0, after: 0 }
    const dying = (isAfter: boolean) => ({
      ledger: {
        ...core.ledger,
        async submit(operation: Parameters<typeof core.ledger.submit>[0]) {
          const isCollected = operation.kind === 'collect'
          if (isCollected && isAfter) await core.ledger.submit(operation)
          if (!isCollected) return core.ledger.submit(operation)
          deaths[isAfter ? 'after' : 'before'] += 1
          throw died
        },
      },
    })
    const dispute = { id: 'dp_1', type: 'dispute', amount: 500 } as const
    const withdrawn = reversalFact(purchase, 1, { ...dispute, state: 'withdrawn' })
    for (const isAfter of [false, true]) {
      const { takeFact } = shop.services(dying(isAfter), beside)
      await t.rejects(takeFact(withdrawn), died)
    }
    t.same(deaths, { before: 1, after: 1 })
    await whole.runJob()
    t.same(await whole.takeFact(withdrawn), { kind: 'applied' })
    t.match(await shop.balance('ada'), { balance: 0, debt: 30 }, 'once')
    await shop.mustBeSound(t)
    const won = reversalFact(purchase, 2, { ...dispute, state: 'won' })
    t.same(await whole.takeFact(won), { kind: 'applied' })
    t.same(await whole.takeFact(won), { kind: 'applied' })
    t.match(await shop.balance('ada'), { balance: 70, debt: 0 }, 'and all comes back, once')
    await shop.mustBeSound(t)
  },
)

t.test('a guest who becomes a user while the grant is under way is granted once', async (t) => {
  const shop = await openShop(t)
  await shop.open('guest')
  await shop.open('ada')
  const purchase = await shop.buy('guest')
  let payee = 'guest'
  const { takeFact } = shop.services(
    {
      ledger: {
        ...shop.core.ledger,
        async submit(operation) {
          if (operation.kind === 'grant' && payee === 'guest') {
            payee = 'ada'
            await shop.call('DELETE', '/v1/accounts/guest')
          }
          return shop.core.ledger.submit(operation)
        },
      },
    },
    { payeeOf: async () => payee },
  )
  t.same(await takeFact(paidFact(purchase)), { kind: 'applied' })
  t.match(await shop.balance('ada'), { balance: 100 })
  t.same(await shop.rows('guest'), [])
  await shop.mustBeSound(t)
})
