import { Counter, type Registry } from 'prom-client'
import type { LimitName } from './rate-limit-subject.js'

/** What became of one count of a call: `failed` is the store's fault. */
export type LimitOutcome = 'allowed' | 'refused' | 'failed'

export type NoteLimit = (name: LimitName, outcome: LimitOutcome) => void

/** Counts what the rate limits of the API decide. */
export function createLimitObserver(registry: Registry): NoteLimit {
  const decisions = new Counter({
    name: 'rate_limit_decisions_total',
    help: 'Calls that were counted against a rate limit, by its policy and what came of it',
    labelNames: ['policy', 'outcome'],
    registers: [registry],
  })
  const failures = new Counter({
    name: 'rate_limit_store_failures_total',
    help: 'Calls answered 503 because no store could count them',
    registers: [registry],
  })
  return (name, outcome) => {
    if (outcome === 'failed') failures.inc()
    else decisions.inc({ policy: name, outcome })
  }
}
