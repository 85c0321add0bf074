import t from 'tap'
import type { RedisClient } from '../../src/stores/connection.js'
import { tryRoles } from '../../src/stores/inspect.js'
import type { Link } from '../../src/stores/link.js'
import { isTooOld } from '../../src/stores/server-info.js'
import { startRedis } from '../helpers/redis.js'
import { freshName, monotonicMs, openReady } from './kit.js'

t.test('the oldest Redis that can be used is 5.0', async (t) => {
  for (const old of ['2.8.24', '3.2.13', '4.0.14', '4']) t.equal(isTooOld(old), true, old)
  for (const good of ['5.0.0', '5.0.14', '6.2.1', '7.4', '8.0.3', '10.0', '255.255.255']) {
    t.equal(isTooOld(good), false, good)
  }
  for (const untold of ['unknown', '', 'valkey']) t.equal(isTooOld(untold), false, untold)
})

/** The same Redis, which says that it is of another version. */
const sayingVersion = (link: Link, version: string): Link => ({
  ...link,
  attempt: (act, timeoutMs) =>
    link.attempt((client) => {
      const single = client as RedisClient & { info(): Promise<string> }
      single.info = async () => `redis_version:${version}\r\n`
      return act(single)
    }, timeoutMs),
})

t.test('redis:check tells of one that is too old, and of no other', async (t) => {
  const { url } = await startRedis(t)
  const { links } = await openReady(t, url)
  if (links.main === null) throw new Error('no Redis')
  const look = async (version: string) => {
    const main = sayingVersion(links.main as Link, version)
    const inspection = { links: { main, cache: null, session: null }, keyPrefix: 'test:' }
    const [role] = await tryRoles({ ...inspection, monotonicMs, newId: freshName })
    return role?.trials.filter(({ isWell }) => !isWell)
  }
  t.same(await look('7.0.15'), [])
  const detail = 'it is Redis 4.0.9, and must be 5.0 or later'
  t.same(await look('4.0.9'), [{ name: 'version', isWell: false, detail }])
})
