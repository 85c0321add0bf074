import t from 'tap'
import { openApp } from '../helpers/app.js'

const inTurn = async (count: number, call: () => Promise<{ status: number }>) => {
  const seen: number[] = []
  for (let i = 0; i < count; i++) seen.push((await call()).status)
  return seen
}

t.test('a visitor begins five sessions in a row, a back end as many as it likes', async (t) => {
  const service = await openApp(t)
  await service.open('ada')
  const guest = () => service.call('POST', '/v1/sessions/guest', {}, { key: null })
  t.same(await inTurn(6, guest), [201, 201, 201, 201, 201, 429])
  t.match(await guest(), { body: { policy: 'auth' }, headers: { 'retry-after': /^\d+$/ } })
  const begin = () => service.call('POST', '/v1/sessions', { accountId: 'ada' })
  t.same(new Set(await inTurn(20, begin)), new Set([201]))
})

t.test('a session holds five times in five minutes; its back end goes on', async (t) => {
  const service = await openApp(t)
  await service.open('ada', 1_000)
  await service.call('PUT', '/v1/prices/render', { cost: 1 })
  const { token } = (await service.call('POST', '/v1/sessions', { accountId: 'ada' })).body
  const path = '/v1/accounts/ada/holds'
  const body = { action: 'render', ttlSeconds: 60 }
  const hold = () => service.call('POST', path, body, { key: token })
  const seen = await inTurn(6, hold)
  t.notOk(seen.slice(0, 5).includes(429))
  t.match(await hold(), { status: 429, body: { policy: 'booking' } })
  const charge = () => service.call('POST', '/v1/accounts/ada/charges', body, { key: token })
  t.not((await charge()).status, 429, 'another policy')
  t.same(new Set(await inTurn(10, () => service.call('POST', path, body))), new Set([201]))
})
