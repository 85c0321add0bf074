import { DatabaseSetupError } from '../db/setup-error.js'
import { canonicalJson, digestOf, keyDigest } from '../ledger/ids.js'
import { GRANT_SOURCES, type GrantSource } from '../ledger/model.js'

/** Credits for every account there is, under a name by which nobody gets them twice. */
export type Campaign = {
  readonly name: string
  readonly amount: number
  readonly source: GrantSource
  readonly isOnlyZero: boolean
  readonly expiresAtMs: number | null
  /** The same in every account: the name alone makes it. */
  readonly key: string
  /** Of everything but the name. */
  readonly digest: string
}

/** The options of the command, as citty describes them. */
export const CAMPAIGN_ARGS = {
  amount: { type: 'string', description: 'Credits for each account', required: true },
  'only-zero': { type: 'boolean', description: 'Only for accounts whose balance is 0' },
  source: { type: 'string', description: `Of ${GRANT_SOURCES.join(', ')}`, default: 'bonus' },
  name: { type: 'string', description: 'Tells one campaign from another like it' },
  'expires-at': { type: 'string', description: 'ISO 8601; never when not given' },
} as const

export type CampaignArgs = {
  readonly amount: string
  readonly 'only-zero'?: boolean | undefined
  readonly source: string
  readonly name?: string | undefined
  readonly 'expires-at'?: string | undefined
}

const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._:-]{0,99}$/u
const INSTANT = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/

/** What the options ask for; throws DatabaseSetupError for what can not be asked. */
export const campaignOf = (args: CampaignArgs): Campaign => {
  const amount = /^[1-9]\d{0,15}$/.test(args.amount) ? Number(args.amount) : Number.NaN
  if (!Number.isSafeInteger(amount)) {
    throw new DatabaseSetupError('--amount must be a whole number from 1 to 9007199254740991')
  }
  const source = GRANT_SOURCES.find((known) => known === args.source)
  if (source === undefined) {
    throw new DatabaseSetupError(`--source must be one of ${GRANT_SOURCES.join(', ')}`)
  }
  const isOnlyZero = args['only-zero'] === true
  const expiresAtMs = args['expires-at'] === undefined ? null : msOf(args['expires-at'])
  // elsewhere monthly credits end a month from now: a campaign that is run again has no such now
  if (source === 'monthly' && expiresAtMs === null) {
    throw new DatabaseSetupError('--source monthly needs --expires-at')
  }
  const name = args.name ?? `${amount}:${source}${isOnlyZero ? ':only-zero' : ''}`
  if (!NAME.test(name)) {
    throw new DatabaseSetupError('--name must be 1 to 100 letters, digits, spaces or . _ : -')
  }
  const digest = digestOf(
    'grant-existing',
    canonicalJson({ amount, source, isOnlyZero, expiresAtMs }),
  )
  const key = keyDigest('fact', `grant-existing:${name}`)
  return { name, amount, source, isOnlyZero, expiresAtMs, key, digest }
}

const msOf = (text: string): number => {
  const day = INSTANT.exec(text)?.[1]
  const ms = Date.parse(text)
  // the 30th of February would be taken for the 2nd of March
  const dayMs = Date.parse(`${day}T00:00:00Z`)
  const isDay = !Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(day ?? ' ')
  if (!isDay || Number.isNaN(ms)) {
    throw new DatabaseSetupError('--expires-at must be ISO 8601 with a time and Z or an offset')
  }
  return ms
}
