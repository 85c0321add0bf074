import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../helpers/cluster.js'
import type { TestContext } from '../helpers/database.js'
import { temporaryDirectory } from '../helpers/server.js'
import { openInbox } from './inbox-kit.js'
import { eventOf } from './stripe-kit.js'

type Result = { code: number; out: string; err: string }

const creditd = (t: TestContext, url: string, ...args: string[]): Promise<Result> =>
  new Promise((resolve) => {
    const nodeArgs = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts')]
    const env = { PATH: process.env.PATH, NO_COLOR: '1', DATABASE_URL: url }
    execFile(
      process.execPath,
      [...nodeArgs, 'webhooks', ...args],
      { cwd: temporaryDirectory(t), env },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })

t.test('dead events are listed with their reason, and tried again on demand', async (t) => {
  const scene = await openInbox(t)
  await scene.inbox.close()
  const cli = (...args: string[]) => creditd(t, scene.url, ...args)
  t.match(await cli('dead'), { code: 0, out: 'no dead events\n' })
  t.match(await cli('replay', '--all'), { code: 0, out: 'nothing is dead there\n' })

  const other = await openInbox(t, { beside: scene })
  other.answer(() => ({ kind: 'refused', reason: 'the currency is EUR and not USD' }))
  for (const n of [1, 2, 3]) {
    const session = { id: `cs_${n}`, object: 'checkout.session', mode: 'payment', created: 0 }
    const world = { ...session, status: 'complete', payment_status: 'paid', currency: 'eur' }
    other.standIn.objects.sessions.set(session.id, {
      ...world,
      metadata: { purchaseId: `p-${n}` },
      amount_subtotal: 500,
      amount_total: 500,
    })
    await scene.send(eventOf('checkout.session.completed', session))
  }
  t.equal(await other.inbox.work(), 3)

  const { code, out } = await cli('dead')
  t.equal(code, 0)
  const shape = /^[0-9a-f-]{36} {2}stripe {2}checkout\.session\.completed {2}cs_1 {2}dead since 2/m
  t.match(out, shape)
  t.match(out, /^ {2}evt_\w+, after 1 attempt: the currency is EUR and not USD$/m)
  const { events } = JSON.parse((await cli('dead', '--json')).out)
  t.equal(events.length, 3)
  t.match(events[0], { provider: 'stripe', objectId: 'cs_1', reason: /EUR/, attempts: 1 })

  const [first] = events
  t.match(await cli('replay', first.id), { code: 0, out: '1 event will be tried again\n' })
  t.match(await cli('replay', first.id), { code: 0, out: 'nothing is dead there\n' }, 'repeated')
  t.same(JSON.parse((await cli('replay', '--all', '--json')).out), { replayed: 2 })
  other.answer(() => ({ kind: 'applied' }))
  t.equal(await other.inbox.work(), 3, 'by a running instance')
  t.match(await cli('replay', first.id), { code: 0, out: 'nothing is dead there\n' }, 'done')
  t.match(await scene.rows(), Array(3).fill({ outcome: 'applied', dead_at: null }))
})

t.test('what is asked of no event exits with 1 and says why', async (t) => {
  const { url } = await openInbox(t)
  const refused: [RegExp, ...string[]][] = [
    [/^creditd: there is no event /, 'replay', randomUUID()],
    [/^creditd: there is no event x/, 'replay', 'x'],
    [/^creditd: say the id of an event/, 'replay'],
    [/^creditd: say the id of an event/, 'replay', randomUUID(), '--all'],
    [/unknown option --every/, 'replay', '--every'],
  ]
  for (const [error, ...args] of refused) {
    const { code, err } = await creditd(t, url, ...args)
    t.equal(code, 1, args.join(' '))
    t.match(err, error, args.join(' '))
  }
})
