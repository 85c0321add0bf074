/** Writes alerts.yaml from the rules of the service: `npm run alerts`. */
import { writeFileSync } from 'node:fs'
import { renderPrometheusRules } from '../src/alerts/prometheus.js'
import { rulesOf } from '../src/alerts/rules.js'
import { THRESHOLDS } from '../src/thresholds.js'

writeFileSync(
  new URL('../alerts.yaml', import.meta.url),
  renderPrometheusRules(rulesOf(THRESHOLDS)),
)
