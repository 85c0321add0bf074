import { setTimeout as sleep } from 'node:timers/promises'
import fastify from 'fastify'
import t from 'tap'
import { registerDeadline } from '../../src/http/deadline.js'
import type { App } from '../../src/http/route.js'

const TIMEOUT_MS = 100
/** What others may take to say it better, until the next look, and a busy machine. */
const SLACK_MS = 1_500

t.test('a request that nobody answers is answered in time, a late answer is none', async (t) => {
  const app = fastify() as unknown as App
  registerDeadline(app, TIMEOUT_MS)
  let isLate = false
  const late = async () => {
    await sleep(700)
    isLate = true
    return { done: true }
  }
  app.get('/late', late)
  app.post('/late', late)
  app.get('/fails', async () => {
    await sleep(700)
    throw new Error('late as well')
  })
  app.get('/quick', async () => ({ done: true }))
  t.teardown(() => app.close())
  const startMs = performance.now()
  const [read, write, failed, quick] = await Promise.all([
    app.inject({ method: 'GET', url: '/late' }),
    app.inject({ method: 'POST', url: '/late' }),
    app.inject({ method: 'GET', url: '/fails' }),
    app.inject({ method: 'GET', url: '/quick' }),
  ])
  t.ok(performance.now() - startMs < TIMEOUT_MS + SLACK_MS)
  t.equal(isLate, false)
  t.match(read, { statusCode: 503, headers: { 'retry-after': '1' } })
  t.match(read.json(), { code: 'overloaded', instance: '/late' })
  t.match(write.json(), { status: 503, code: 'outcome_unknown' })
  t.match(failed.json(), { status: 503, code: 'overloaded' })
  t.match(quick, { statusCode: 200 })
  await sleep(800)
  t.equal(isLate, true, 'it went on, and nobody was told')
  t.equal((await app.inject({ method: 'GET', url: '/quick' })).statusCode, 200)
})
