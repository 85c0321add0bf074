import t from 'tap'
import { openApp } from '../helpers/app.js'

const CREDITS = 'Must be a whole number of credits from 1 to 9007199254740991'
const SECONDS = 'Must be a whole number of seconds from 1 to 2592000'
const RANGE = 'Must lie between 1970-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z'
const FORM = 'Must be ISO 8601 with a time and Z or an offset, such as 2027-01-31T00:00:00Z'
const account = '/v1/accounts/a'

type Case = readonly [method: string, path: string, body: unknown, ...faults: string[]]

const CASES: readonly Case[] = [
  ['POST', `${account}/grants`, {}, 'amount: Is required'],
  ['POST', `${account}/grants`, { amount: 1.5 }, `amount: ${CREDITS}`],
  ['POST', `${account}/grants`, { amount: 0 }, `amount: ${CREDITS}`],
  ['POST', `${account}/grants`, { amount: '5' }, `amount: ${CREDITS}`],
  ['POST', `${account}/grants`, { amount: null }, `amount: ${CREDITS}`],
  ['POST', `${account}/grants`, { amount: 1e300 }, `amount: ${CREDITS}`],
  [
    'POST',
    `${account}/grants`,
    { amount: 1, source: 'gift', priority: -1, reason: '' },
    'source: Must be one of monthly, bonus, purchased',
    'priority: Must be a whole number from 0 to 1000',
    'reason: Must have at least 1 character',
  ],
  ['POST', `${account}/grants`, { amount: 1, expiresAt: '+010000-01-01T00:00:00Z' }, FORM],
  ['POST', `${account}/grants`, { amount: 1, expiresAt: '9999-12-31T23:59:59-00:01' }, RANGE],
  ['POST', `${account}/grants`, { amount: 1, expiresAt: '1969-12-31T23:59:59.999Z' }, RANGE],
  ['POST', `${account}/grants`, { amount: 1, expiresAt: '2027-01-31' }, FORM],
  ['POST', `${account}/grants`, { amount: 1, expiresAt: 5 }, FORM],
  ['POST', `${account}/holds`, { amount: 1 }, 'ttlSeconds: Is required'],
  ['POST', `${account}/holds`, { amount: 1, ttlSeconds: 2_592_001 }, `ttlSeconds: ${SECONDS}`],
  ['POST', `${account}/charges`, { amount: 1, dryRun: 1 }, 'dryRun: Must be true or false'],
  ['POST', `${account}/charges`, [], 'Must be a JSON object'],
  ['POST', `${account}/charges`, { amount: 1, more: 2 }, 'more: Unknown field'],
  ['PUT', account, { email: 5 }, 'email: Must be a string'],
  ['POST', '/v1/transfers', {}, 'from: Is required', 'to: Is required', 'amount: Is required'],
  ['POST', '/v1/operations', { operations: [] }, 'operations: Must have at least 1 entry'],
  ['POST', '/v1/operations', { operations: {} }, 'operations: Must be a list'],
  ['PUT', '/v1/prices/p', { cost: -1 }, 'cost: Must be a whole number of credits from 0 to 9'],
  ['GET', '/v1/accounts?limit=0', undefined, 'limit: Must be a whole number from 1 to 200'],
  ['GET', `${account}/access`, undefined, 'action: Is required'],
  ['GET', `${account}/access?action=p&quantity=x`, undefined, 'whole number from 1 to 1000000'],
]

t.test('what is wrong is said in words that name the unit and the range', async (t) => {
  const { call, open } = await openApp(t)
  await open('a')
  for (const [method, path, body, ...faults] of CASES) {
    const name = `${method} ${path} ${JSON.stringify(body)}`
    const reply = await call(method, path, body)
    t.equal(reply.status, 400, name)
    const told = reply.body.errors.map((e: { path: string; message: string }) =>
      e.path === '' ? e.message : `${e.path}: ${e.message}`,
    )
    t.equal(told.length, faults.length, `${name}: ${told.join('; ')}`)
    for (const [index, fault] of faults.entries()) t.match(told[index], fault, name)
    t.match(reply.body.detail, faults[0], 'the detail tells the first')
    t.notMatch(JSON.stringify(reply.body), /Invalid|expected|received|Too (big|small)/, name)
  }
  const bulk = await call('POST', '/v1/operations', { operations: [{ type: 'grant' }] })
  t.match(bulk.body.outcomes, [
    { status: 400, detail: 'body accountId: Is required', errors: [{}, { path: 'amount' }] },
  ])
})

t.test('the last instant of the year 9999 is an expiry like any other', async (t) => {
  const { call, open } = await openApp(t)
  await open('a')
  const expiresAt = '9999-12-31T23:59:59.999Z'
  const made = await call('POST', `${account}/grants`, { amount: 5, expiresAt })
  t.equal(made.status, 201)
  const [grant] = (await call('GET', `${account}/grants`)).body.grants
  t.match(grant, { expiresAt, remaining: 5 })
  t.equal((await call('POST', `${account}/charges`, { amount: 5 })).status, 201)
  const membership = { tier: null, expiresAt }
  t.equal((await call('PUT', `${account}/membership`, membership)).status, 200)
  const key = { name: 'n', scopes: ['admin'], expiresAt }
  t.match(await call('POST', '/v1/api-keys', key), { status: 201, body: { expiresAt } })
  t.equal((await call('GET', `${account}/transactions?from=1970-01-01T00:00:00Z`)).status, 200)
  t.equal((await call('GET', `${account}/transactions?to=${expiresAt}`)).status, 200)
  t.equal((await call('GET', `${account}/balance?at=${expiresAt}`)).status, 200)
})
