import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { AccountState } from '../../src/ledger/model.js'
import { createReadTogether } from '../../src/ledger/read-together.js'

type Reply = Awaited<ReturnType<Parameters<typeof createReadTogether>[0]['load']>>
type Call = {
  readonly accountIds: readonly string[]
  readonly reply: (reply: Reply) => void
  readonly fail: (error: Error) => void
}

const stateOf = (accountId: string, version: number): AccountState => ({
  ...{ accountId, version, seq: 0, balance: 0, held: 0, debt: 0, status: 'active', tier: null },
  ...{ tierExpiresAtMs: null, createdAtMs: 0, updatedAtMs: 0, hasArchive: false },
  ...{ lots: [], holds: [] },
})

/** A reader whose calls are answered by hand. */
const createDesk = () => {
  const calls: Call[] = []
  const read = createReadTogether({
    load: (accountIds) =>
      new Promise((reply, fail) => {
        calls.push({ accountIds, reply, fail })
      }),
    soon: setImmediate,
  })
  return { calls, read }
}

const told = (version: number, ...accountIds: string[]): Reply => ({
  accounts: accountIds.map((accountId) => stateOf(accountId, version)),
  nowMs: version,
})

t.test('what is asked for together is read in one call, each account once', async (t) => {
  const { calls, read } = createDesk()
  const all = Promise.all([read('a'), read('b'), read('a'), read('nobody')])
  await turn()
  t.same(calls[0]?.accountIds, ['a', 'b', 'nobody'])
  calls[0]?.reply(told(1, 'b', 'a'))
  const names = (await all).map(({ state }) => state?.accountId ?? null)
  t.same(names, ['a', 'b', 'a', null])
  t.equal(calls.length, 1)
})

t.test('nobody is told what was read before it asked', async (t) => {
  const { calls, read } = createDesk()
  const first = read('a')
  await turn()
  const second = read('a')
  await turn()
  t.equal(calls.length, 2, 'the call under way does not serve the second')
  calls[1]?.reply(told(2, 'a'))
  t.equal((await second).state?.version, 2)
  calls[0]?.reply(told(1, 'a'))
  t.equal((await first).state?.version, 1)
})

t.test('at most two calls are under way; what waits goes with the next', async (t) => {
  const { calls, read } = createDesk()
  const asked: Promise<unknown>[] = []
  for (const accountId of ['a', 'b', 'c', 'd']) {
    asked.push(read(accountId))
    await turn()
  }
  t.same(
    calls.map(({ accountIds }) => accountIds),
    [['a'], ['b']],
  )
  calls[0]?.reply(told(1, 'a'))
  await turn()
  t.same(calls[2]?.accountIds, ['c', 'd'])
  calls[1]?.reply(told(1, 'b'))
  calls[2]?.reply(told(1, 'c', 'd'))
  await Promise.all(asked)
})

t.test('a call is bounded; the rest goes with the next', async (t) => {
  const { calls, read } = createDesk()
  const asked = Promise.all(Array.from({ length: 250 }, (_, i) => read(`account-${i}`)))
  await turn()
  t.equal(calls[0]?.accountIds.length, 200)
  calls[0]?.reply(told(1))
  await turn()
  t.equal(calls[1]?.accountIds.length, 50)
  calls[1]?.reply(told(1))
  t.equal((await asked).length, 250)
})

t.test('a call that fails, fails for those in it, and for nobody after', async (t) => {
  const { calls, read } = createDesk()
  const failing = Promise.allSettled([read('a'), read('b')])
  await turn()
  calls[0]?.fail(new Error('away'))
  t.match(await failing, [{ reason: /away/ }, { reason: /away/ }])
  const next = read('a')
  await turn()
  calls[1]?.reply(told(3, 'a'))
  t.equal((await next).nowMs, 3)
})
