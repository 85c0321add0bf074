import { mix } from './random.js'

/** What one request asks for, beside where it goes. */
export type Shape = {
  readonly seed: number
  /** Begins the idempotency keys; two runs with the same number send the same requests. */
  readonly run: number
  readonly apiKey: string
  readonly host: string
  /** Charges go to one account of so many, or all to the hot one. */
  readonly accounts: number | 'hot'
  readonly hasKeys: boolean
  /** Share of charges that ask for more than any account has. */
  readonly refusedPercent: number
  /** Whether each charge names its account as the end user, who is held to the limits. */
  readonly isLimited: boolean
  /** Operations in one request; 1: the route of a single charge. */
  readonly bulk: number
}

export type Ask = {
  readonly text: string
  /** The credits asked for; what is granted of them the reply tells. */
  readonly amount: number
}

/** More than any account of the bench has. */
const UNAFFORDABLE = 9_000_000_000_000_000
const MAX_AMOUNT = 9

export const HOT_ACCOUNT = 'hot'
export const accountName = (number: number): string => `user-${number}`

type Charge = { readonly accountId: string; readonly amount: number; readonly key: string }

/** Request `index` of a run, ready for the wire; the same whenever it is asked for. */
export function createAsks(shape: Shape): (index: number) => Ask {
  return shape.bulk > 1 ? createBulkAsks(shape) : createChargeAsks(shape)
}

function createChargeAsks(shape: Shape): (index: number) => Ask {
  const head = headOf(shape)
  const keyHead = shape.hasKeys ? 'idempotency-key: ' : ''
  const keyTail = shape.hasKeys ? '\r\n' : ''
  return (index) => {
    const { accountId, amount, key } = chargeAt(shape, index)
    const body = `{"amount":${amount}}`
    const user = shape.isLimited ? `on-behalf-of: ${accountId}\r\n` : ''
    const text =
      `POST /v1/accounts/${accountId}/charges HTTP/1.1\r\n${head}${user}` +
      `${keyHead}${shape.hasKeys ? key : ''}${keyTail}content-length: ${body.length}\r\n\r\n${body}`
    return { text, amount }
  }
}

function createBulkAsks(shape: Shape): (index: number) => Ask {
  const head = `POST /v1/operations HTTP/1.1\r\n${headOf(shape)}`
  return (index) => {
    const charges = Array.from({ length: shape.bulk }, (_, i) =>
      chargeAt(shape, index * shape.bulk + i),
    )
    const operations = charges.map(({ accountId, amount, key }) => ({
      type: 'charge',
      accountId,
      amount,
      ...(shape.hasKeys && { idempotencyKey: key }),
    }))
    const body = JSON.stringify({ operations })
    const amount = charges.reduce((sum, charge) => sum + charge.amount, 0)
    return { text: `${head}content-length: ${body.length}\r\n\r\n${body}`, amount }
  }
}

/** Charge `index` of a run. */
function chargeAt(shape: Shape, index: number): Charge {
  const { seed, run, accounts, refusedPercent } = shape
  const number = mix(seed, run, index)
  const isRefused = refusedPercent > 0 && mix(seed + 1, run, index) % 100 < refusedPercent
  return {
    accountId: accounts === 'hot' ? HOT_ACCOUNT : accountName(number % accounts),
    amount: isRefused ? UNAFFORDABLE : 1 + (mix(seed + 2, run, index) % MAX_AMOUNT),
    key: `bench-${run}-${index}`,
  }
}

/** What an ordinary client sends with every call. */
const headOf = ({ host, apiKey }: Shape): string =>
  `host: ${host}\r\nauthorization: Bearer ${apiKey}\r\nuser-agent: creditd-bench\r\n` +
  'accept: application/json\r\ncontent-type: application/json\r\n'
