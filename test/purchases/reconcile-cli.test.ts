import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from '../helpers/cluster.js'
import { CREEM_KEY } from '../helpers/creem-stand-in.js'
import type { TestContext } from '../helpers/database.js'
import { temporaryDirectory } from '../helpers/server.js'
import { CREDITS, type CreemShop, openCreemShop } from './creem-shop.js'

type Result = { readonly code: number; readonly out: string; readonly err: string }

const creditd = (t: TestContext, shop: CreemShop, key: string | null, ...args: string[]) =>
  new Promise<Result>((resolve) => {
    const nodeArgs = [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'src/cli.ts')]
    const env = {
      ...{ PATH: process.env.PATH, NO_COLOR: '1', DATABASE_URL: shop.url },
      ...(key !== null && { CREEM_API_KEY: key, CREEM_API_URL: shop.creem.url }),
    }
    execFile(
      process.execPath,
      [...nodeArgs, 'purchases', 'reconcile', ...args],
      { cwd: temporaryDirectory(t), env },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })

/** A payment of two hours ago that nobody has told of. */
const lose = async (shop: CreemShop): Promise<void> => {
  const { id } = await shop.sell('ann')
  await shop.core.db.pool.query(
    `update credit_purchases set created_at = created_at - interval '2 hours' where id = $1`,
    [id],
  )
}

t.test('an operator makes up for lost events, whether or not a service runs', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  await lose(shop)
  t.match(await creditd(t, shop, CREEM_KEY), {
    code: 0,
    out: 'creem   1 looked at, 1 repaired, 0 refused, 0 parked\n',
  })
  t.strictSame(await shop.rows('ann'), [['grant', CREDITS]])
  await lose(shop)
  const since = new Date(Date.now() - 86_400_000).toISOString()
  const { code, out } = await creditd(t, shop, CREEM_KEY, '--json', '--since', since)
  t.equal(code, 0)
  t.match(JSON.parse(out), { ok: true, providers: [{ provider: 'creem', repaired: 1 }] })
  t.equal((await shop.balance('ann')).balance, 2 * CREDITS)
  const runs = await shop.core.db.pool.query(
    `select outcome from job_runs where name = 'purchases.reconcile'`,
  )
  t.match(runs.rows, [{ outcome: /^creem done: 1 looked at, 1 repaired/ }], 'one was a run')
  t.equal(runs.rowCount, 1, 'the other looked at a part alone')
  await shop.mustBeSound(t)
})

t.test('it fails where a provider does, and says nothing of the key', async (t) => {
  const shop = await openCreemShop(t)
  shop.creem.fault = 500
  const down = await creditd(t, shop, CREEM_KEY)
  t.equal(down.code, 1)
  t.match(down.out, /^creem .*; FAILED: Creem can not be used for now: it answered 500$/m)
  shop.creem.fault = null
  const refused = await creditd(t, shop, 'creem_test_wrong')
  t.equal(refused.code, 1)
  t.match(refused.out, /FAILED: Creem refuses the API key/)
  t.notMatch(down.out + down.err + refused.out + refused.err, /4d2f8bdc0e6a|creem_test_wrong/)
})

t.test('it fails where what was paid does not fit what was sold', async (t) => {
  const shop = await openCreemShop(t)
  await shop.open('ann')
  await lose(shop)
  for (const checkout of shop.creem.checkouts.values()) checkout.units = 2
  const { code, out } = await creditd(t, shop, CREEM_KEY)
  t.equal(code, 1)
  t.match(out, /1 refused/)
})

t.test('bad times are refused, and with nobody to ask it says so', async (t) => {
  const shop = await openCreemShop(t)
  const nobody = await creditd(t, shop, null)
  t.match(nobody, { code: 0, out: /^nobody to ask/ })
  for (const since of ['yesterday', '2026', '2999-01-01', '2026-02-31T00:00Z x', '']) {
    const { code, err } = await creditd(t, shop, CREEM_KEY, `--since=${since}`)
    t.equal(code, 1, since)
    t.match(err, /--since must be a day or moment of the past/, since)
  }
})
