import type { Told } from '../../src/ledger/announce-rules.js'
import type {
  JsonObject,
  Operation,
  OperationKind,
  Quote,
  Request,
} from '../../src/ledger/model.js'
import type { Random } from './random.js'

type Usual = Exclude<OperationKind, 'transfer_in' | 'transfer_return'>

/** Who plays these is told of low balances from here on. */
export const TOLD: Told = { lowBalanceCredits: 40 }

/** Kinds with how often they come. */
const WEIGHTS = {
  open: 3,
  close: 0.1,
  freeze: 1,
  unfreeze: 3,
  membership: 1,
  charge: 40,
  grant: 12,
  refund: 5,
  hold: 6,
  capture: 5,
  release: 2,
  extend: 1,
  sweep: 2,
  adjustment: 3,
  revoke: 1,
  transfer_out: 1,
  allocation: 2,
  claw_back: 5,
  collect: 1,
} as const satisfies Record<Usual, number>

export type OperationDeps = {
  readonly random: Random
  readonly accountIds: readonly string[]
  databaseMs(): number
  readonly hasPoison: boolean
}

/** Random operations; now and then one that was asked for before, or its key with another body. */
export function createOperations(deps: OperationDeps): () => Operation {
  const { random } = deps
  const made: Operation[] = []
  return () => {
    const isRepeat = made.length > 0 && random.isLucky(0.2)
    if (isRepeat && random.isLucky(0.85)) return random.pick(made.slice(-12))
    const id = made.length + 1
    const base = { accountId: random.pick(deps.accountIds), key: `key ${id}` }
    const request = isRepeat ? keyOf(random.pick(made)) : base
    const metadata = metadataOf(deps, id)
    const announce = random.isLucky(0.3) ? { type: 'test.done', data: { id } } : null
    const rest = { digest: `body ${id}`, actor: 'tester', requestId: `r${id}`, metadata, announce }
    const operation = bodyOf({ ...request, ...rest }, kindOf(random), deps)
    made.push(operation)
    return operation
  }
}

const keyOf = ({ accountId, key }: Operation) => ({ accountId, key })

function metadataOf({ random, hasPoison }: OperationDeps, id: number): JsonObject | null {
  if (hasPoison && random.isLucky(0.05)) return { isPoison: true }
  return random.isLucky(0.3) ? { id, text: 'x'.repeat(random.between(0, 900)) } : null
}

function kindOf(random: Random): Usual {
  const entries = Object.entries(WEIGHTS) as [Usual, number][]
  let left = random.next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [kind, weight] of entries) {
    left -= weight
    if (left < 0) return kind
  }
  return 'charge'
}

type Asked = Required<Request>

const reason = 'because'

function bodyOf(request: Asked, kind: Usual, deps: OperationDeps): Operation {
  const { random } = deps
  const price = random.between(0, 30)
  const quote: Quote = (tier) => ({ amount: tier === null ? price : price >> 1, detail: { tier } })
  const seq = random.between(1, 15)
  const soonMs = deps.databaseMs() + random.between(20, 3000)
  switch (kind) {
    case 'open':
      return { ...request, kind, signupBonus: random.pick([0, 50, 100]) }
    case 'membership':
      return { ...request, kind, tier: `tier ${request.key}`, tierExpiresAtMs: soonMs }
    case 'charge':
      return { ...request, kind, action: 'draw', quote }
    case 'grant':
      return { ...request, kind, ...grantOf(random, soonMs), reason }
    case 'refund':
      return { ...request, kind, chargeSeq: seq, amount: random.pick([null, 1, 5]), reason }
    case 'hold':
      return { ...request, kind, action: 'draw', quote, ttlMs: random.between(20, 2000) }
    case 'capture':
      return { ...request, kind, holdSeq: seq, quote: random.pick([null, quote]) }
    case 'release':
      return { ...request, kind, holdSeq: seq }
    case 'extend':
      return { ...request, kind, holdSeq: seq, ttlMs: random.between(20, 2000) }
    case 'adjustment':
      return { ...request, kind, amount: random.pick([-7, -1, 4]), reason }
    case 'revoke':
      return { ...request, kind, grantSeq: seq, reason }
    case 'allocation':
      return { ...request, kind, ...allocationOf(random, soonMs), detail: { planId: 'pro' } }
    case 'claw_back':
      return { ...request, kind, ...clawBackOf(random, seq), reason, detail: { purchaseId: 'p' } }
    case 'collect':
    case 'transfer_out':
      return { ...request, ...leaving(kind, price + 1) }
    default:
      return { ...request, kind }
  }
}

const leaving = (kind: 'collect' | 'transfer_out', amount: number) =>
  kind === 'collect'
    ? ({ kind, amount, reason: null, detail: { purchaseId: 'p' } } as const)
    : ({ kind, amount, to: 'elsewhere' } as const)

const grantOf = (random: Random, soonMs: number) => ({
  source: random.pick(['monthly', 'bonus', 'purchased'] as const),
  priority: 50,
  expiresAtMs: random.pick([null, soonMs]),
  amount: random.between(1, 80),
})

/** None to two lots, and now and then a tier. */
function allocationOf(random: Random, soonMs: number) {
  const lot = { source: 'monthly', priority: 40, expiresAtMs: soonMs } as const
  const parts = [20, 5].slice(random.between(0, 2)).map((amount) => ({ ...lot, amount }))
  const tier = { tier: `plan ${random.between(0, 1000)}`, tierExpiresAtMs: soonMs }
  return { parts, membership: random.pick([null, tier]) }
}

/** Of the opening bonus, mostly: many claw-backs of one grant. */
const clawBackOf = (random: Random, seq: number) => ({
  grantSeq: random.pick([1, 1, seq]),
  target: random.pick([0, 1, 30, 50]),
})
