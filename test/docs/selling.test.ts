import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { temporaryDirectory } from '../helpers/server.js'
import { startStripe } from '../helpers/stripe-stand-in.js'
import { createWorld } from '../purchases/stripe-kit.js'
import {
  alike,
  blocksOf,
  isObject,
  README,
  runStep,
  SELLING,
  type Step,
  sectionsOf,
  shown,
  start,
  stepsOf,
} from './kit.js'

/* Buying as the README shows it, by hand and through Stripe, for which a stand-in speaks. */

/** An event is answered first and worked on then. */
const EFFECT_DEADLINE_MS = 10_000

/** What later commands call by a name, out of the reply above it. */
const NAMED: Record<string, (reply: Record<string, unknown>) => string> = {
  PURCHASE: (reply) => String(reply.purchaseId),
  CHECKOUT: (reply) => /cs_\w+/.exec(String(reply.checkoutUrl))?.[0] ?? '',
}

t.test('packages are bought and refunded as the README shows', async (t) => {
  const stripe = await startStripe(t)
  const { PATH, HOME } = process.env
  const env: NodeJS.ProcessEnv = {
    ...{ PATH, HOME, PORT: '0', HOST: '127.0.0.1', DATA_DIR: temporaryDirectory(t) },
    ...{ ENABLE_CREDIT_PURCHASES: 'true', STRIPE_SECRET_KEY: stripe.apiKey },
    ...{ STRIPE_API_URL: stripe.url, STRIPE_WEBHOOK_SECRET: 'whsec_of_the_readme' },
  }
  const { port, key } = await start(t, env)
  Object.assign(env, { KEY: key, CREDITD_URL: `http://127.0.0.1:${port}` })
  const parts = sectionsOf(README).filter(({ title }) => title === SELLING)
  const steps = parts.flatMap(({ text }) => blocksOf(text, 'console').flatMap(stepsOf))
  t.ok(steps.length >= 10, `${steps.length} steps`)
  let reply: Record<string, unknown> = {}
  for (const step of steps) {
    const [, name = ''] = /^export (\w+)=/.exec(step.command) ?? []
    const value = NAMED[name]?.(reply)
    if (value === undefined) reply = await mustShow(t, step, { port, env })
    else env[name] = value
    if (name === 'CHECKOUT') createWorld(stripe).pay(String(value))
  }
})

/** What is read may take a moment until it is as shown; what is written is so at once. */
async function mustShow(
  t: Test,
  step: Step,
  place: { readonly port: string; readonly env: NodeJS.ProcessEnv },
): Promise<Record<string, unknown>> {
  const expected = shown(JSON.parse(step.output))
  const isRead = !/ -d | -X |^node/.test(step.command)
  const deadlineMs = Date.now() + (isRead ? EFFECT_DEADLINE_MS : 0)
  for (;;) {
    const actual = await runStep(t, step, place)
    const seen = shown(alike(JSON.parse(step.output), actual))
    if (seen === expected || Date.now() > deadlineMs) {
      t.equal(seen, expected, step.command)
      return isObject(actual) ? actual : {}
    }
    await sleep(100)
  }
}
