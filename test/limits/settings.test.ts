import t from 'tap'
import { ConfigError, loadConfig } from '../../src/config.js'

t.test('each policy has the limit that is promised, unless its setting says otherwise', (t) => {
  const { policies } = loadConfig({}).limits
  t.same(policies, {
    payment: { max: 10, windowMs: 60_000 },
    webhook: { max: 10, windowMs: 1_000 },
    api: { max: 100, windowMs: 60_000 },
    auth: { max: 5, windowMs: 900_000 },
    search: { max: 30, windowMs: 60_000 },
    booking: { max: 5, windowMs: 300_000 },
    guestCheckout: { max: 3, windowMs: 300_000 },
  })
  for (const name of Object.keys(policies)) {
    const variable = `RATE_LIMIT_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`
    const limits = loadConfig({ [variable]: '7/2h' }).limits
    t.same(limits.policies, { ...policies, [name]: { max: 7, windowMs: 7_200_000 } }, variable)
  }
  t.end()
})

t.test('who is covered is a setting too', async (t) => {
  t.match(loadConfig({}).limits, { coverApiKeys: false, coverVerifiedWebhooks: false })
  t.match(loadConfig({ RATE_LIMIT_API_KEYS: 'true' }).limits, { coverApiKeys: true })
  t.match(loadConfig({ RATE_LIMIT_WEBHOOK_VERIFIED: '1' }).limits, { coverVerifiedWebhooks: true })
})

t.test('a limit that is none stops the start, and its variable is named', async (t) => {
  for (const text of [
    ...['200', '200/m', '/1m', '0/1m', '200/0m', '-1/1m', '1.5/1m', '200/1d', '200 / 1m'],
    ...['1000001/1m', '1/86401s', '1/25h', '1/1441m', '1e3/1m', 'off', '200/1ms'],
  ]) {
    try {
      loadConfig({ RATE_LIMIT_API: text })
      t.fail(`${text} was taken`)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      t.match(error.problems, [/^RATE_LIMIT_API must be a number from 1 to 1000000, a slash/], text)
    }
  }
  for (const text of ['1000000/24h', '1/86400s', '1/1440m', '1/1s']) {
    t.ok(loadConfig({ RATE_LIMIT_API: text }), text)
  }
})
