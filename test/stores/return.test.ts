import t from 'tap'
import { createRevocations } from '../../src/sessions/revocations.js'
import { openFresh } from '../helpers/database.js'
import { startRedis } from '../helpers/redis.js'
import { idOf, isBack, openReady, sessionOf } from './kit.js'

/** As many as a process may remember, with RETURN_SESSIONS=50000 RETURN_REVOCATIONS=100000. */
const SESSIONS = Number(process.env.RETURN_SESSIONS ?? 4_000)
const REVOCATIONS = Number(process.env.RETURN_REVOCATIONS ?? 20_000)
const MAX_RETURN_MS = 5_000
const CROWD = 500

const OUTAGES = [
  { name: 'only hung, revoked before', isEmptied: false, isBefore: true },
  { name: 'only hung, revoked meanwhile', isEmptied: false, isBefore: false },
  { name: 'lost all it knew', isEmptied: true, isBefore: false },
] as const

for (const { name, isEmptied, isBefore } of OUTAGES) {
  t.test(`a Redis that ${name}, is in use again in time`, async (t) => {
    const server = await startRedis(t)
    const db = await openFresh(t)
    const revocations = createRevocations({ orm: db.orm })
    const revoke = () =>
      db.pool.query(
        `insert into session_revocations (tag, digest, revoked_at, expires_at, noted_at)
         select md5(n::text), md5((-n)::text), now() - interval '1 hour', now() + interval '1 hour',
                now() - $2::int * interval '5 minutes'
           from generate_series(1, $1::int) n`,
        [REVOCATIONS, isBefore ? 1 : 0],
      )
    if (isBefore) await revoke()
    const stores = await openReady(t, server.url, { revocations })
    if (isEmptied) await server.kill()
    else server.pause()
    await stores.rateLimit.peek('x', { max: 1, windowMs: 1_000 })
    const ids = Array.from({ length: SESSIONS }, () => idOf())
    for (let i = 0; i < SESSIONS; i += CROWD) {
      const crowd = ids.slice(i, i + CROWD)
      await Promise.all(crowd.map((id) => stores.session.create(id, sessionOf())))
    }
    if (!isBefore) await revoke()
    if (isEmptied) await server.start()
    else server.resume()
    const tookMs = await isBack(stores, 120_000)
    t.comment(`${SESSIONS} sessions, ${REVOCATIONS} revocations: ${tookMs.toFixed(0)} ms`)
    t.ok(tookMs < MAX_RETURN_MS, `${tookMs.toFixed(0)} ms`)
    const keys = Number(await server.command('dbsize'))
    t.ok(keys >= SESSIONS + REVOCATIONS, `${keys} keys`)
    const last = ids.at(-1)
    t.ok(last && (await stores.session.touch(last)))
  })
}
