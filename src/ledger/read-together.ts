import type { AccountState } from './model.js'

/** Accounts in one call. */
const MAX_ACCOUNTS = 200
/** Calls under way at once: while one is answered, the next is read. */
const MAX_CALLS = 2

export type Seen = { readonly state: AccountState | null; readonly nowMs: number }

export type ReadTogetherDeps = {
  /** The accounts as they are when it is called, or later; those not found are not among them. */
  readonly load: (
    accountIds: readonly string[],
  ) => Promise<{ readonly accounts: readonly AccountState[]; readonly nowMs: number }>
  /** Runs `task` when the requests that have arrived together are all in. */
  readonly soon: (task: () => void) => void
}

type Asked = { readonly resolve: (seen: Seen) => void; readonly reject: (error: unknown) => void }

/**
 * Reads accounts, those that are asked for at the same time in one call: it costs hardly more than
 * one of them alone. What is told was read after it was asked for. A call that fails, fails for all
 * in it.
 */
export function createReadTogether({ load, soon }: ReadTogetherDeps) {
  let waiting = new Map<string, Asked[]>()
  let calls = 0

  function start(): void {
    if (calls >= MAX_CALLS || waiting.size === 0) return
    calls += 1
    soon(() => void run())
  }

  async function run(): Promise<void> {
    while (waiting.size > 0) await answer(take())
    calls -= 1
  }

  function take(): Map<string, Asked[]> {
    const taken = waiting
    waiting = new Map()
    for (const accountId of [...taken.keys()].slice(MAX_ACCOUNTS)) {
      waiting.set(accountId, taken.get(accountId) ?? [])
      taken.delete(accountId)
    }
    return taken
  }

  return (accountId: string): Promise<Seen> =>
    new Promise((resolve, reject) => {
      const asked = waiting.get(accountId)
      if (asked) asked.push({ resolve, reject })
      else waiting.set(accountId, [{ resolve, reject }])
      start()
    })

  async function answer(taken: ReadonlyMap<string, readonly Asked[]>): Promise<void> {
    try {
      const { accounts, nowMs } = await load([...taken.keys()])
      const found = new Map(accounts.map((state) => [state.accountId, state]))
      for (const [accountId, asked] of taken) {
        const state = found.get(accountId) ?? null
        for (const { resolve } of asked) resolve({ state, nowMs })
      }
    } catch (error) {
      for (const { reject } of [...taken.values()].flat()) reject(error)
    }
  }
}
