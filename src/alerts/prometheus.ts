import { stringify } from 'yaml'
import { expressionOf, type Rule } from './rules.js'

const HEAD = `# The alerts of creditd for Prometheus, at their default thresholds: made by
# \`npm run alerts\`, not to be edited. The service evaluates the same rules by itself, see
# docs/operations.md.
`

/** The rules as a rules file of Prometheus. */
export const renderPrometheusRules = (rules: readonly Rule[]): string => {
  const entries = rules.map((rule) => ({
    alert: rule.name,
    expr: expressionOf(rule),
    for: secondsOf(rule.forMs),
    keep_firing_for: secondsOf(rule.keepFiringMs),
    labels: { severity: rule.severity, action: rule.action },
    annotations: { summary: rule.summary },
  }))
  return HEAD + stringify({ groups: [{ name: 'creditd', interval: '15s', rules: entries }] })
}

const secondsOf = (ms: number): string => `${ms / 1000}s`
