import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { renderPrometheusRules } from '../../src/alerts/prometheus.js'
import { expressionOf, isBeyond, type Rule, rulesOf, worstOf } from '../../src/alerts/rules.js'
import { advance, QUIET } from '../../src/alerts/state.js'
import { loadConfig } from '../../src/config.js'
import { THRESHOLDS } from '../../src/thresholds.js'
import { openApp } from '../helpers/app.js'
import { ROOT } from '../helpers/cluster.js'
import { startRedis } from '../helpers/redis.js'

const RULES = rulesOf(THRESHOLDS)

const ruleNamed = (name: string): Rule => {
  const rule = RULES.find((one) => one.name === name)
  if (!rule) throw new Error(`no rule ${name}`)
  return rule
}

/** The part of PromQL that the rules keep to: one aggregation of one gauge, and a comparison. */
const EXPRESSION = /^(max|min)\(([a-z_]+)\) (>|<) (\d+(?:\.\d+)?)$/

/** What Prometheus makes of the expression and the values of a gauge over all instances. */
const evaluate = (expression: string, values: readonly number[]): boolean => {
  const [, aggregation, , comparison, threshold] = EXPRESSION.exec(expression) ?? []
  const worst = aggregation === 'max' ? Math.max(...values) : Math.min(...values)
  return comparison === '>' ? worst > Number(threshold) : worst < Number(threshold)
}

t.test('alerts.yaml is what the rules of the service make, at the default settings', async (t) => {
  const file = readFileSync(join(ROOT, 'alerts.yaml'), 'utf8')
  t.equal(file, renderPrometheusRules(RULES), 'npm run alerts writes it anew')
  t.same(loadConfig({}).alerts.thresholds, THRESHOLDS)
  const { rules } = parse(file).groups[0]
  const names = rules.map(({ alert }: { alert: string }) => alert)
  t.equal(new Set(names).size, RULES.length)
  for (const rule of rules) {
    t.match(rule, { alert: /^[a-z_]+$/, expr: EXPRESSION, for: /^\d+s$/, labels: {} }, rule.alert)
    t.match(rule.labels, { severity: /^(critical|high|medium)$/, action: /^[a-z_]+$/ })
  }
})

t.test('what is asked for of the rules is in the file', async (t) => {
  const { rules } = parse(readFileSync(join(ROOT, 'alerts.yaml'), 'utf8')).groups[0]
  const named = (name: string) => rules.find(({ alert }: { alert: string }) => alert === name)
  t.match(named('credit_balance_mismatch'), {
    expr: 'max(credit_balance_mismatches) > 10',
    labels: { severity: 'critical', action: 'page_oncall' },
  })
  t.match(named('transaction_failure_rate'), {
    expr: 'max(transaction_failure_rate) > 0.05',
    labels: { severity: 'high', action: 'email_team' },
  })
  t.match(named('api_latency'), { expr: 'max(api_response_time) > 0.1' })
  t.match(named('api_error_rate'), { expr: 'max(api_error_rate) > 0.01' })
  t.match(named('redis_memory'), { expr: 'max(creditd_redis_memory_ratio) > 0.8' })
  t.match(named('redis_fallback'), { expr: 'max(creditd_store_fallback) > 0', for: '60s' })
})

t.test('every rule is about a gauge that /metrics really has', async (t) => {
  const { url: REDIS_URL } = await startRedis(t)
  const { call } = await openApp(t, { environment: { REDIS_URL } })
  const { body } = await call('GET', '/metrics')
  for (const { name, metric } of RULES) {
    t.match(body, new RegExp(`^# TYPE ${metric} gauge$`, 'm'), name)
    t.match(body, new RegExp(`^${metric}(\\{.*\\})? [0-9.e+-]+$`, 'm'), name)
    t.match(body, new RegExp(`^creditd_alert_firing\\{name="${name}"\\} 0$`, 'm'))
  }
})

t.test('the service decides as the expression does', async (t) => {
  for (const rule of RULES) {
    const expression = expressionOf(rule)
    const near = rule.threshold
    const samples = [0, 1, near, near + 0.001, near - 0.001, near * 2, 1000]
    for (const a of samples) {
      for (const b of samples) {
        const worst = worstOf(rule, [a, b]) ?? Number.NaN
        t.equal(isBeyond(rule, worst), evaluate(expression, [a, b]), `${expression} of ${a}, ${b}`)
      }
    }
  }
})

t.test('thresholds come from the settings', async (t) => {
  const { alerts } = loadConfig({
    ALERT_BALANCE_MISMATCHES: '0',
    ALERT_FAILURE_PERCENT: '2.5',
    ALERT_LATENCY_MS: '250',
    ALERT_DATABASE_SECONDS: '90',
  })
  const rules = rulesOf(alerts.thresholds)
  const expressions = rules.map(expressionOf)
  t.ok(expressions.includes('max(credit_balance_mismatches) > 0'))
  t.ok(expressions.includes('max(transaction_failure_rate) > 0.025'))
  t.ok(expressions.includes('max(api_response_time) > 0.25'))
  t.equal(rules.find(({ name }) => name === 'database_unavailable')?.forMs, 90_000)
  for (const url of ['hooks.example.com', 'ftp://hooks.example.com/x', 'x']) {
    t.throws(() => loadConfig({ ALERT_WEBHOOK_URL: url }), /ALERT_WEBHOOK_URL must be a URL/)
  }
  t.throws(() => loadConfig({ ALERT_FAILURE_PERCENT: '101' }), /a number from 0 to 100/)
  t.throws(() => loadConfig({ ALERT_ERROR_PERCENT: '1e1' }), /a number from 0 to 100/)
})

const RULE: Rule = { ...ruleNamed('api_error_rate'), forMs: 60_000, keepFiringMs: 60_000 }
const BAD = 0.5
const GOOD = 0

/** The changes of an alert that is looked at every 15 s, by the second. */
const changesOf = (rule: Rule, values: readonly (number | null)[], stepMs = 15_000) => {
  let state = QUIET
  return values.flatMap((value, index) => {
    const step = advance(rule, state, value, index * stepMs)
    state = step.state
    return step.change === null ? [] : [`${(index * stepMs) / 1000} ${step.change}`]
  })
}

const times = (count: number, value: number | null) => Array.from({ length: count }, () => value)

t.test('an alert fires after its time and not before, and once', async (t) => {
  t.same(changesOf(RULE, times(4, BAD)), [])
  t.same(changesOf(RULE, times(100, BAD)), ['60 firing'])
  t.same(changesOf({ ...RULE, forMs: 0 }, times(100, BAD)), ['0 firing'])
  const blips = [...times(4, BAD), GOOD, ...times(4, BAD), GOOD, ...times(4, BAD)]
  t.same(changesOf(RULE, blips), [], 'blips do not add up')
})

t.test('an alert is resolved when it has held off for its time, and once', async (t) => {
  const fires = times(5, BAD)
  t.same(changesOf(RULE, [...fires, ...times(50, GOOD)]), ['60 firing', '135 resolved'])
  const flaps = Array.from({ length: 50 }, (_none, index) => (index % 3 === 0 ? BAD : GOOD))
  t.same(changesOf(RULE, [...fires, ...flaps]), ['60 firing'], 'what flaps goes on firing')
})

t.test('what can not be read changes nothing', async (t) => {
  t.same(changesOf(RULE, times(50, null)), [])
  t.same(changesOf(RULE, [...times(5, BAD), ...times(50, null)]), ['60 firing'])
})

t.test('a time in which nobody looked does not count as one in which it held', async (t) => {
  t.same(changesOf(RULE, [BAD, BAD, BAD], 10 * 60_000), [])
  t.same(changesOf({ ...RULE, forMs: 0 }, [BAD, GOOD, GOOD], 10 * 60_000), ['0 firing'])
})

t.test('just at the threshold nothing fires', async (t) => {
  t.same(changesOf({ ...ruleNamed('credit_balance_mismatch') }, [10, 10, 11]), ['30 firing'])
  t.same(changesOf(ruleNamed('database_unavailable'), [1, 0, 0, 0]), ['45 firing'])
})
