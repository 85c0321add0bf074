import type { CheckoutFact } from '../../src/payment-facts.js'
import {
  absorb,
  isNewer,
  type KnownReversal,
  nextStep,
  type PurchaseState,
  type Standing,
  standingOf,
} from '../../src/purchases/state.js'

/** What a provider tells in the stories: how the checkout stands, or one refund or dispute. */
export type Told =
  | { readonly kind: 'checkout'; readonly fact: CheckoutFact }
  | { readonly kind: 'reversal'; readonly reversal: KnownReversal }

export type World = {
  purchase: PurchaseState
  version: number
  readonly reversals: Map<string, KnownReversal>
  /** Rows of the ledger by their key, as it does each once. */
  readonly granted: Map<string, number>
  readonly clawedBack: Map<string, number>
  /** How much of the grant has been clawed back. */
  taken: number
  isFrozen: boolean
}

export const CREDITS = 100
export const PRICE = 500

export const newWorld = (): World => ({
  purchase: {
    provider: 'stripe',
    credits: CREDITS,
    amount: PRICE,
    currency: 'USD',
    priceId: null,
    checkoutState: 'pending',
    checkoutId: null,
    paymentId: null,
    paidAmount: null,
    grantedTo: null,
    grantSeq: null,
    clawBackStep: 0,
    clawBackDoneStep: 0,
    clawBackTarget: 0,
    clawBackDoneTarget: 0,
    collectedFrom: null,
    freeze: null,
  },
  version: 0,
  reversals: new Map(),
  granted: new Map(),
  clawedBack: new Map(),
  taken: 0,
  isFrozen: false,
})

const RULES = { disputeFreezesAccount: true }

export const known = ({ purchase, reversals }: World): KnownReversal[] =>
  purchase.paymentId === null ? [] : [...reversals.values()]

export const standing = (world: World): Standing => standingOf(world.purchase, known(world))

/** The update of somebody who read it at that version: theirs is lost when others were faster. */
const update = (world: World, version: number, change: Partial<PurchaseState>): boolean => {
  if (world.version !== version) return false
  world.purchase = { ...world.purchase, ...change }
  world.version += 1
  return true
}

/** Takes a fact in, as one transaction does. */
export const tell = (world: World, told: Told): void => {
  if (told.kind === 'checkout') {
    const absorbed = absorb(world.purchase, told.fact)
    if (absorbed.kind === 'news') update(world, world.version, absorbed.news)
    return
  }
  const before = world.reversals.get(told.reversal.id)
  if (before !== undefined && !isNewer(told.reversal, before)) return
  world.reversals.set(told.reversal.id, told.reversal)
  world.version += 1
}

/**
 * One who settles, stopping wherever others may come in between, or a crash: after reading, after
 * writing to the ledger, after writing the purchase. Ends when all is as it should be.
 */
export function* settler(world: World): Generator<void, void> {
  for (;;) {
    const { purchase, version } = world
    const step = nextStep(purchase, standing(world), RULES)
    yield
    switch (step.kind) {
      case 'rest':
        if (world.version === version) return
        break // who rests on what is old looks again
      case 'begin_grant':
        update(world, version, { grantedTo: 'ada' })
        break
      case 'grant': {
        const seq = world.granted.get('grant') ?? world.granted.size + 1
        world.granted.set('grant', seq)
        yield
        update(world, version, { grantSeq: seq })
        break
      }
      case 'begin_claw_back':
        update(world, version, nextClawBack(purchase, step.target))
        break
      case 'claw_back': {
        const key = String(step.step)
        if (!world.clawedBack.has(key)) world.taken = step.target
        world.clawedBack.set(key, step.target)
        yield
        update(world, version, doneOf(step))
        break
      }
      case 'begin_freeze':
        update(world, version, { freeze: 'freezing' })
        break
      case 'collect':
        throw new Error('nobody here becomes another')
      default:
        yield* freeze(world, version, step.kind === 'freeze')
    }
  }
}

const doneOf = ({ step, target }: { readonly step: number; readonly target: number }) => ({
  clawBackDoneStep: step,
  clawBackDoneTarget: target,
})

const nextClawBack = ({ clawBackStep }: PurchaseState, clawBackTarget: number) => ({
  clawBackStep: clawBackStep + 1,
  clawBackTarget,
})

function* freeze(world: World, version: number, isFrozen: boolean): Generator<void, void> {
  world.isFrozen = isFrozen
  yield
  update(world, version, { freeze: isFrozen ? 'frozen' : null })
}

/** To the end, with nobody in between. */
export const settle = (world: World): void => {
  for (const _pause of settler(world));
}
