import t from 'tap'
import { MAX_SESSIONS_PER_TAG } from '../../src/stores/session/store.js'
import { freshName, idOf, startGrounds } from './kit.js'

const sessionOf = (more: object = {}) => ({
  accountId: 'user@example.com',
  isGuest: false,
  createdAtMs: Date.now(),
  idleMs: 60_000,
  endsAtMs: Date.now() + 3_600_000,
  ...more,
})

for (const ground of await startGrounds(t)) {
  t.test(`${ground.name}: a session is read back as it was, by any process`, async (t) => {
    const [first, second] = [await ground.open(t), await ground.open(t)]
    const id = idOf()
    const session = sessionOf({ isGuest: true, accountId: 'a b:c{d}é' })
    const made = await first.session.create(id, session)
    t.match(made, session)
    t.ok(Math.abs(made.expiresAtMs - Date.now() - 60_000) < 2_000, 'it lives for its idle time')
    t.same(await second.session.read(id), made)
    t.equal(await second.session.read(idOf()), null, 'another is unknown')
    t.equal(await second.session.read({ ...id, digest: freshName() }), null)
  })

  t.test(`${ground.name}: use prolongs a session, a look does not`, async (t) => {
    const { session: store } = await ground.open(t)
    const id = idOf()
    const made = await store.create(id, sessionOf({ idleMs: 1_000 }))
    await wait(300)
    t.equal((await store.read(id))?.expiresAtMs, made.expiresAtMs)
    const touched = await store.touch(id)
    t.ok(touched && touched.expiresAtMs >= made.expiresAtMs + 290, 'by as much as has passed')
    await wait(800)
    t.ok(await store.read(id), 'it is there when it would have expired unused')
    await wait(300)
    t.equal(await store.read(id), null, 'and gone when its idle time is over')
    t.equal(await store.touch(id), null, 'use does not bring it back')
  })

  t.test(`${ground.name}: a session ends, however much it is used`, async (t) => {
    const { session: store } = await ground.open(t)
    const id = idOf()
    const endsAtMs = Date.now() + 400
    const made = await store.create(id, sessionOf({ endsAtMs }))
    t.equal(made.expiresAtMs, endsAtMs)
    t.equal((await store.touch(id))?.expiresAtMs, endsAtMs)
    await wait(450)
    t.equal(await store.touch(id), null)
  })

  t.test(`${ground.name}: what is revoked is gone, the others of the account stay`, async (t) => {
    const { session: store } = await ground.open(t)
    const [one, other] = [idOf('tag-a'), idOf('tag-a')]
    await store.create(one, sessionOf())
    await store.create(other, sessionOf())
    t.equal(await store.revoke(one), true)
    t.equal(await store.read(one), null)
    t.equal(await store.touch(one), null)
    t.equal(await store.revoke(one), false, 'once')
    t.ok(await store.read(other))
  })

  t.test(`${ground.name}: all sessions of an account end at once, by any process`, async (t) => {
    const [first, second] = [await ground.open(t), await ground.open(t)]
    const tag = freshName()
    const ids = Array.from({ length: 5 }, () => idOf(tag))
    for (const id of ids) await first.session.create(id, sessionOf())
    const stranger = idOf()
    await first.session.create(stranger, sessionOf())
    t.equal(await second.session.revokeAll(tag), 5)
    for (const id of ids) t.equal(await first.session.touch(id), null)
    t.ok(await first.session.read(stranger))
    t.equal(await second.session.revokeAll(tag), 0)
    const later = idOf(tag)
    await first.session.create(later, sessionOf())
    t.ok(await second.session.touch(later), 'who signs in again is in')
  })

  t.test(
    `${ground.name}: who begins after all have ended is in, though by a late clock`,
    async (t) => {
      const [first, second] = [await ground.open(t), await ground.open(t)]
      const id = idOf()
      for (let round = 0; round < 3; round += 1) {
        await first.session.revokeAll(id.tag)
        const late = sessionOf({ createdAtMs: Date.now() - 500 })
        const made = await second.session.create({ ...id, digest: `late-${round}` }, late)
        t.ok(made.expiresAtMs > Date.now(), 'it lives')
        t.same(await first.session.read({ ...id, digest: `late-${round}` }), made)
      }
      t.equal(await first.session.revokeAll(id.tag), 1, 'and ends with the next')
      t.equal(await second.session.touch({ ...id, digest: 'late-2' }), null)
    },
  )

  t.test(`${ground.name}: use at the same time does not undo a revocation`, async (t) => {
    const [first, second] = [await ground.open(t), await ground.open(t)]
    for (let round = 0; round < 30; round += 1) {
      const id = idOf()
      await first.session.create(id, sessionOf())
      const uses = Array.from({ length: 10 }, (_none, index) =>
        (index % 2 === 0 ? first : second).session.touch(id),
      )
      const revoking =
        round % 2 === 0 ? second.session.revoke(id) : second.session.revokeAll(id.tag)
      await Promise.all([...uses, revoking, first.session.touch(id)])
      t.equal(await first.session.touch(id), null)
      t.equal(await second.session.read(id), null)
    }
  })

  t.test(`${ground.name}: an account has a bounded number of sessions`, async (t) => {
    const { session: store } = await ground.open(t)
    const tag = freshName()
    const first = idOf(tag)
    await store.create(first, sessionOf({ idleMs: 30_000 }))
    const ids = Array.from({ length: MAX_SESSIONS_PER_TAG }, () => idOf(tag))
    for (const id of ids) await store.create(id, sessionOf())
    t.equal(await store.read(first), null, 'the one that would have expired first has ended')
    t.equal(await store.revokeAll(tag), MAX_SESSIONS_PER_TAG)
  })
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
