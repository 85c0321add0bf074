import t from 'tap'
import { openApp, type TestApp } from '../helpers/app.js'

t.test('pages neither lose nor repeat a transaction while others write', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 1_000)
  for (let n = 0; n < 20; n++) await call('POST', '/v1/accounts/a/charges', { amount: 1 })
  const seen: number[] = []
  let cursor = ''
  for (let page = 0; page < 10; page++) {
    const { body } = await call('GET', `/v1/accounts/a/transactions?limit=5${cursor}`)
    seen.push(...body.transactions.map(({ seq }: { seq: number }) => seq))
    if (body.nextCursor === null) break
    cursor = `&cursor=${body.nextCursor}`
    await call('POST', '/v1/accounts/a/charges', { amount: 1 })
  }
  t.same(
    seen,
    Array.from({ length: 21 }, (_, index) => 21 - index),
  )
})

t.test('a page has 50 entries unless asked, and never more than 200', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 1_000)
  const operations = Array.from({ length: 210 }, () => ({
    type: 'charge',
    accountId: 'a',
    amount: 1,
  }))
  await call('POST', '/v1/operations', { operations })
  const path = '/v1/accounts/a/transactions'
  t.equal((await call('GET', path)).body.transactions.length, 50)
  t.equal((await call('GET', `${path}?limit=200`)).body.transactions.length, 200)
  for (const limit of ['201', '0', '-1', '1.5', 'x', '']) {
    t.equal((await call('GET', `${path}?limit=${limit}`)).status, 400, limit)
  }
})

t.test('history is found by action, by type and by time, both ends inclusive', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 1_000)
  const path = '/v1/accounts/a/transactions'
  const charge = async (action: string) =>
    (await call('POST', '/v1/accounts/a/charges', { amount: 1, action })).body
  const first = await charge('image')
  await new Promise((resolve) => setTimeout(resolve, 5))
  const second = await charge('chat')
  await new Promise((resolve) => setTimeout(resolve, 5))
  const third = await charge('image')
  const find = async (query: string) =>
    (await call('GET', `${path}?${query}`)).body.transactions.map(({ seq }: { seq: number }) => seq)
  t.same(await find('action=image'), [third.seq, first.seq])
  t.same(await find('type=grant'), [1])
  t.same(await find(`from=${second.createdAt}`), [third.seq, second.seq])
  t.same(await find(`to=${second.createdAt}&type=charge`), [second.seq, first.seq])
  t.same(await find(`from=${second.createdAt}&to=${second.createdAt}`), [second.seq])
  for (const query of ['type=gift', 'from=today', 'to=2026-01-01', 'cursor=abc', 'action=%00']) {
    t.equal((await call('GET', `${path}?${query}`)).status, 400, query)
  }
})

t.test('a transaction is found by its id alone, or not at all', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 10)
  const { transactions } = (await call('GET', '/v1/accounts/a/transactions')).body
  const id = transactions[0].transactionId
  t.same((await call('GET', `/v1/transactions/${id}`)).body, transactions[0])
  for (const other of ['x', `${id}x`, 'txn_', id.replace('txn', 'gr'), 'txn_OTk6YQ', '%00']) {
    const reply = await call('GET', `/v1/transactions/${other}`)
    t.match(reply, { status: 404, body: { code: 'transaction_not_found' } }, other)
  }
})

t.test('usage adds charges, captures and refunds up by action and by day', async (t) => {
  const { call, open } = await openApp(t)
  await open('a', 1_000)
  const charge = (amount: number, action?: string) =>
    call('POST', '/v1/accounts/a/charges', { amount, ...(action && { action }) })
  await charge(10, 'image')
  const { body: refunded } = await charge(20, 'image')
  await charge(5)
  const hold = { amount: 50, action: 'render', ttlSeconds: 60 }
  const { body: held } = await call('POST', '/v1/accounts/a/holds', hold)
  await call('POST', `/v1/accounts/a/holds/${held.holdId}/capture`, { amount: 40 })
  const refund = { transactionId: refunded.transactionId, amount: 15 }
  await call('POST', '/v1/accounts/a/refunds', refund)
  const { body } = await call('GET', '/v1/accounts/a/usage')
  const byAction = new Map(body.usage.map((group: { action: string }) => [group.action, group]))
  t.match(byAction.get('image'), { charged: 30, refunded: 15, net: 15, count: 2 })
  t.match(byAction.get('render'), { charged: 40, refunded: 0, net: 40, count: 1 })
  t.match(byAction.get(null), { charged: 5, count: 1 })
  t.match(body, { groupBy: 'action', total: { charged: 75, refunded: 15, net: 60, count: 4 } })
  const byDay = await call('GET', '/v1/accounts/a/usage?groupBy=day')
  t.match(byDay.body.usage, [{ day: refunded.createdAt.slice(0, 10), charged: 75, count: 4 }])
  const before = await call('GET', '/v1/accounts/a/usage?to=2001-01-01T00:00:00Z')
  t.match(before.body, { usage: [], total: { charged: 0 } })
  t.equal((await call('GET', '/v1/accounts/a/usage?groupBy=week')).status, 400)
})

const audit = async ({ call }: TestApp, query = '') =>
  (await call('GET', `/v1/audit-log?${query}`)).body.entries

/** The log tells milliseconds apart: waits for a later one, by the clock that dates its entries. */
const nextMs = async ({ core }: TestApp) => {
  // the database tells its time in whole ones, so the clock may be corrected by one
  const laterMs = core.ledger.now() + 2
  while (core.ledger.now() < laterMs) await new Promise((resolve) => setImmediate(resolve))
}

t.test('who did what is in the audit log, whether it was done or refused', async (t) => {
  const service = await openApp(t)
  const call: TestApp['call'] = async (...request) => {
    await nextMs(service)
    return service.call(...request)
  }
  await call('PUT', '/v1/accounts/a')
  await call('POST', '/v1/accounts/a/grants', { amount: 100 })
  const evil = { actor: 'nobody', status: 'success', accountId: 'b', errorMessage: '', id: 'x' }
  const body = { amount: 500, metadata: evil }
  const headers = { 'x-request-id': 'trace-7' }
  await call('POST', '/v1/accounts/a/charges', body, { headers })
  await call('POST', '/v1/accounts/a/charges', { amount: 10, metadata: evil })
  await call('POST', '/v1/accounts/none/charges', { amount: 10 })
  await call('POST', '/v1/accounts/a/charges', { amount: 'ten' })
  await call('POST', '/v1/accounts/a/freeze', { reason: 'check' })
  await call('POST', '/v1/accounts/a/charges', { amount: 1 }, { key: null })

  const entries = await audit(service)
  t.match(
    entries.map(({ action, status }: { action: string; status: string }) => [action, status]),
    [
      ['account_freeze', 'success'],
      ['charge', 'failed'],
      ['charge', 'failed'],
      ['charge', 'success'],
      ['charge', 'failed'],
      ['grant', 'success'],
      ['account_put', 'success'],
    ],
  )
  t.match(entries[4], {
    accountId: 'a',
    action: 'charge',
    status: 'failed',
    actor: 'key:env',
    requestId: 'trace-7',
    errorCode: 'insufficient_credits',
    errorMessage: '500 credits are required, 100 are available',
    metadata: { body },
  })
  t.match(entries[3], { accountId: 'a', actor: 'key:env', metadata: { metadata: evil } })
  t.match(entries[2], { accountId: 'none', errorCode: 'account_not_found' })
  t.match(entries[0], { metadata: { body: { reason: 'check' } } })

  const statuses = async (query: string) => new Set((await audit(service, query)).map(statusOf))
  t.same(await statuses('status=failed'), new Set(['failed']))
  t.same(await statuses('status=success'), new Set(['success']))
  t.equal((await audit(service, 'accountId=none')).length, 1)
  t.equal((await audit(service, 'accountId=a&action=charge')).length, 3)
  t.equal((await audit(service, 'to=2001-01-01T00:00:00Z')).length, 0)
  t.equal((await audit(service, `from=${entries[0].createdAt}`)).length, 1)
  t.equal((await call('GET', '/v1/audit-log?status=maybe')).status, 400)
})

t.test('a refusal that quotes what no database can store is in the audit log', async (t) => {
  const service = await openApp(t)
  const { call, open } = service
  await open('a', 100)
  for (const field of ['a\\u0000b', '\\ud800', 'x'.repeat(9_000), '\\ud83d\\ude00']) {
    const reply = await call('POST', '/v1/accounts/a/charges', `{"amount":1,"${field}":1}`)
    t.equal(reply.status, 400)
  }
  await call('GET', '/v1/accounts/a')
  const entries = await audit(service, 'status=failed')
  t.equal(entries.length, 4)
  t.match(entries[0].errorMessage, /\ud83d\ude00/)
  t.ok(entries.every(({ errorMessage }: { errorMessage: string }) => errorMessage.length <= 1_000))
})

t.test('pages of the audit log neither lose nor repeat an entry', async (t) => {
  const service = await openApp(t)
  const { call, open } = service
  await open('a', 100)
  await open('b', 100)
  for (let n = 0; n < 12; n++) {
    await call('POST', `/v1/accounts/${n % 3 ? 'a' : 'b'}/charges`, { amount: n % 2 ? 1 : 999 })
  }
  for (const scope of ['', 'accountId=a&', 'accountId=b&', 'action=charge&']) {
    const all = await audit(service, `${scope}limit=200`)
    const paged: { id: string }[] = []
    let cursor = ''
    for (let page = 0; page < 30; page++) {
      const { body } = await call('GET', `/v1/audit-log?${scope}limit=2${cursor}`)
      paged.push(...body.entries)
      if (body.nextCursor === null) break
      cursor = `&cursor=${body.nextCursor}`
      await call('POST', '/v1/accounts/a/charges', { amount: paged.length % 4 ? 1 : 999 })
    }
    t.same(paged.map(idOf), all.map(idOf), scope)
    t.equal(new Set(paged.map(idOf)).size, paged.length, scope)
  }
  t.equal((await call('GET', '/v1/audit-log?cursor=e30')).status, 400)
})

const idOf = ({ id }: { id: string }) => id
const statusOf = ({ status }: { status: string }) => status
