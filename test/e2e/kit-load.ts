import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../lanes/random.js'
import { type Client, ContractFault, type Reply } from './kit-client.js'

export type Kind = 'charge' | 'grant' | 'hold' | 'capture' | 'release' | 'refund' | 'transfer'

/** What is asked, under which key; the same again whenever it is sent again. */
export type Ask = {
  readonly kind: Kind
  readonly accountId: string
  readonly path: string
  // biome-ignore lint/suspicious/noExplicitAny: bodies of all kinds of calls
  readonly body: any
  readonly key: string
  /** The hold or the charge it is about. */
  readonly target: Reply['body'] | null
}

/** One call with all its attempts: from the first byte sent to the definite answer. */
export type Call = Ask & {
  readonly startMs: number
  endMs: number
  /** By the clock on the wall, for what has a deadline. */
  endedAtMs: number
  attempts: number
  /** null: not known. */
  reply: Reply | null
  /** Why it was not known at first. */
  trouble: string | null
}

export type Load = {
  readonly calls: Call[]
  /** Sends no more, and waits for what is under way. */
  stop(): Promise<void>
}

export type LoadPlan = {
  readonly client: Client
  readonly random: Random
  readonly accounts: readonly string[]
  readonly workers: number
  /** Of each worker, between its calls: a load and not a flood. */
  readonly pauseMs: number
  /** After this the client gives up. */
  readonly timeoutMs: number
  /** How often an impatient client asks again before it gives up. */
  readonly retries: number
}

/** The load ends by itself, whatever becomes of the test. */
const MAX_CALLS = 20_000
const KEPT_TARGETS = 6
const HOT = 8

/** Whether a reply says what became of the operation. */
export const isDefinite = ({ reply }: Call): boolean => reply !== null && reply.status < 500

/** Charges, grants, holds and what follows from them, on accounts that are open already. */
export const startLoad = (plan: LoadPlan): Load => {
  const calls: Call[] = []
  let isStopped = false
  let fault: ContractFault | undefined
  const next = createAsks(plan)
  const worker = async () => {
    while (!isStopped && fault === undefined && calls.length < MAX_CALLS) {
      const call = begin(next.ask())
      calls.push(call)
      try {
        for (let left = plan.retries; left >= 0 && !isDefinite(call); left -= 1) {
          await attempt(plan.client, call, plan.timeoutMs)
        }
      } catch (error) {
        if (error instanceof ContractFault) fault = error
        else throw error
      }
      if (isDefinite(call)) next.learn(call)
      // whoever is turned away does not come back at once
      await sleep(isDefinite(call) ? plan.pauseMs : 5 * plan.pauseMs + 20)
    }
  }
  const working = Promise.all(Array.from({ length: plan.workers }, worker))
  // a failure is told when the load is stopped, not before anybody listens
  working.catch(() => {})
  return {
    calls,
    async stop() {
      isStopped = true
      await working
      if (fault) throw fault
    },
  }
}

export const begin = (ask: Ask): Call => ({
  ...ask,
  startMs: performance.now(),
  endMs: Number.POSITIVE_INFINITY,
  endedAtMs: Number.POSITIVE_INFINITY,
  attempts: 0,
  reply: null,
  trouble: null,
})

/** Sends a call once; an answer that never came leaves it unknown. */
export const attempt = async (
  client: Client,
  call: Call,
  timeoutMs: number,
  through?: number,
): Promise<void> => {
  call.attempts += 1
  try {
    const options = {
      idempotencyKey: call.key,
      timeoutMs,
      ...(through !== undefined && { through }),
    }
    call.reply = await client.call('POST', call.path, call.body, options)
    if (!isDefinite(call)) call.trouble ??= call.reply?.body.code
  } catch (error) {
    if (error instanceof ContractFault) throw error
    const { code, message } = error as NodeJS.ErrnoException
    call.trouble ??= code ?? message
  }
  call.endMs = performance.now()
  call.endedAtMs = Date.now()
}

/** What the workers ask; it remembers some holds and charges of each account to go on with. */
const createAsks = ({ random, accounts }: LoadPlan) => {
  const holds = new Map<string, Reply['body'][]>()
  const charges = new Map<string, Reply['body'][]>()
  const run = random.between(0, 2 ** 31).toString(36)
  let count = 0
  const remember = (map: typeof holds, { accountId, reply }: Call) => {
    const kept = map.get(accountId) ?? []
    kept.push(reply?.body)
    map.set(accountId, kept.slice(-KEPT_TARGETS))
  }
  const ask = (): Ask => {
    // half of it meets on a few accounts
    const accountId = random.pick(random.isLucky(0.5) ? accounts.slice(0, HOT) : accounts)
    const key = `${run}-${count++}`
    const account = `/v1/accounts/${accountId}`
    const to = (kind: Kind, path: string, body: unknown, target: Ask['target'] = null): Ask => ({
      kind,
      accountId,
      path,
      body,
      key,
      target,
    })
    const luck = random.next()
    const ownHolds = holds.get(accountId) ?? []
    const ownCharges = charges.get(accountId) ?? []
    if (luck < 0.12) return to('grant', `${account}/grants`, someGrant(random))
    if (luck < 0.24) {
      const ttlSeconds = random.isLucky(0.3) ? 1 : 600
      return to('hold', `${account}/holds`, { amount: random.between(1, 40), ttlSeconds })
    }
    if (luck < 0.38 && ownHolds.length > 0) {
      const hold = random.pick(ownHolds)
      const path = `${account}/holds/${hold.holdId}`
      if (random.isLucky(0.3)) return to('release', `${path}/release`, {}, hold)
      const amount = random.between(1, 50)
      const body = random.isLucky(0.3) ? {} : { amount }
      return to('capture', `${path}/capture`, body, hold)
    }
    if (luck < 0.48 && ownCharges.length > 0) {
      const charge = random.pick(ownCharges)
      const { transactionId } = charge
      const amount = random.between(1, Math.ceil(-charge.amount / 2) + 1)
      const body = random.isLucky(0.3) ? { transactionId } : { transactionId, amount }
      return to('refund', `${account}/refunds`, body, charge)
    }
    if (luck < 0.54) {
      const others = accounts.filter((id) => id !== accountId)
      const body = { from: accountId, to: random.pick(others), amount: random.between(1, 20) }
      return to('transfer', '/v1/transfers', body)
    }
    return to('charge', `${account}/charges`, {
      amount: random.between(1, 30),
      metadata: { n: count },
    })
  }
  const learn = (call: Call) => {
    if ((call.reply?.status ?? 0) >= 300) return
    if (call.kind === 'hold') remember(holds, call)
    if (call.kind === 'charge' || call.kind === 'capture') remember(charges, call)
  }
  return { ask, learn }
}

const DAY_MS = 86_400_000

const someGrant = (random: Random) => ({
  amount: random.between(1, 120),
  source: random.pick(['bonus', 'purchased']),
  priority: random.between(1, 5) * 10,
  ...(random.isLucky(0.5) && {
    expiresAt: new Date(Date.now() + random.between(1, 30) * DAY_MS).toISOString(),
  }),
})
