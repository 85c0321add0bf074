import { SYSTEM_ACTOR } from '../ledger/draft.js'
import { digestOf, keyDigest, newKey } from '../ledger/ids.js'
import type { Request } from '../ledger/model.js'

/** What follows from a fact: done once for it, whoever asks and however often. */
export const factOf = (accountId: string, fact: string): Request =>
  requestOf(accountId, keyDigest('fact', fact), fact)

/** What may be done again without harm, and leaves no row to know it by. */
export const actOf = (accountId: string, act: string): Request =>
  requestOf(accountId, newKey(), act)

const requestOf = (accountId: string, key: string, what: string): Request => ({
  accountId,
  key,
  digest: digestOf(what),
  actor: SYSTEM_ACTOR,
  requestId: null,
  metadata: null,
})
