import t from 'tap'
import { digestOfKey } from '../../src/admin/api-keys.js'
import { ensureFirstKey, type FirstKeyDeps } from '../../src/compose-first-key.js'
import { type Environment, loadConfig } from '../../src/config.js'
import { openFresh, quietLog, type TestContext } from '../helpers/database.js'

const FIRST_KEY = /ck_test_[\w-]{43}/

const setUp = async (t: TestContext, env: Environment = {}) => {
  const db = await openFresh(t)
  const shown: string[] = []
  const warnings: string[] = []
  const log = { ...quietLog, warn: (text: string) => warnings.push(text) }
  const deps = {
    config: loadConfig(env),
    log: log as unknown as FirstKeyDeps['log'],
    db,
    isEmbedded: true,
    print: (text: string) => shown.push(text),
    url: 'http://127.0.0.1:3000',
  }
  const digests = async (): Promise<string[]> =>
    (await db.pool.query('select digest from api_keys')).rows.map(({ digest }) => digest)
  return { db, deps, shown, warnings, digests }
}

t.test('the first key is made and shown once', async (t) => {
  const { deps, shown, digests } = await setUp(t)
  await ensureFirstKey(deps)
  await ensureFirstKey(deps)
  t.equal(shown.length, 1)
  t.same(await digests(), [digestOfKey(FIRST_KEY.exec(shown[0] ?? '')?.[0] ?? '')])
})

t.test('a connection lost at the commit makes and shows no second key', async (t) => {
  const { db, deps, shown, digests } = await setUp(t)
  await db.pool.query(`
    create sequence failures;
    create function fail_once() returns trigger language plpgsql as $$
    begin
      if nextval('failures') = 1 then perform pg_terminate_backend(pg_backend_pid()); end if;
      return null;
    end $$;
    create constraint trigger fail_once after insert on api_keys
      deferrable initially deferred for each row execute function fail_once()`)
  await ensureFirstKey(deps)
  t.equal(shown.length, 1)
  t.same(await digests(), [digestOfKey(FIRST_KEY.exec(shown[0] ?? '')?.[0] ?? '')])
})

t.test('a key that could not be kept is followed by another at the next start', async (t) => {
  const { db, deps, shown, digests } = await setUp(t)
  await db.pool.query(`
    create function fail() returns trigger language plpgsql as $$
    begin raise exception 'the disk is full'; end $$;
    create constraint trigger fail after insert on api_keys
      deferrable initially deferred for each row execute function fail()`)
  await t.rejects(ensureFirstKey(deps), /the disk is full/)
  t.same(await digests(), [])
  await db.pool.query('drop trigger fail on api_keys')
  await ensureFirstKey(deps)
  t.same(await digests(), [digestOfKey(FIRST_KEY.exec(shown.at(-1) ?? '')?.[0] ?? '')])
})

t.test('on a database of the operator none is made: the log says how', async (t) => {
  const { deps, shown, warnings, digests } = await setUp(t)
  await ensureFirstKey({ ...deps, isEmbedded: false })
  t.same([shown, await digests()], [[], []])
  t.match(warnings, [/there is no API key yet/])
})

t.test('with a key in the environment none is made; a short one is told of', async (t) => {
  const { deps, shown, warnings, digests } = await setUp(t, { CREDITD_API_KEY: 'short' })
  await ensureFirstKey(deps)
  t.same([shown, await digests()], [[], []])
  t.match(warnings, [/short enough to be guessed/])
})
