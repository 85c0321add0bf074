import type { Rule } from './rules.js'
import type { AlertState, Change } from './state.js'

/** What the receiver of alerts is sent. */
export type Notice = {
  /** The same however often it is sent: what comes again is not new. */
  readonly id: string
  readonly name: string
  readonly severity: Rule['severity']
  readonly action: Rule['action']
  readonly status: Change
  readonly value: number | null
  readonly threshold: number
  /** When it changed, ISO 8601. */
  readonly at: string
  readonly summary: string
  /** Which instance says so; null: all of them together. */
  readonly instance: string | null
}

export const noticeOf = (
  rule: Rule,
  { value, evaluatedAtMs }: AlertState,
  told: { readonly id: string; readonly status: Change; readonly instanceId: string },
): Notice => ({
  id: told.id,
  name: rule.name,
  severity: rule.severity,
  action: rule.action,
  status: told.status,
  value,
  threshold: rule.threshold,
  at: new Date(evaluatedAtMs ?? 0).toISOString(),
  summary: rule.summary,
  instance: rule.scope === 'instance' ? told.instanceId : null,
})
