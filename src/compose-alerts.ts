import { createDeliveries, createLocalDeliveries } from './alerts/deliveries.js'
import { rulesOf } from './alerts/rules.js'
import { createAlerts } from './alerts/service.js'
import { createAlertStore } from './alerts/store.js'
import { createWebhook } from './alerts/webhook.js'
import type { Core } from './compose.js'
import type { Metrics } from './http/metrics.js'

/** Looks at the metrics every few seconds, and tells what fires and what is over. */
export const composeAlerts = (core: Core, metrics: Metrics): void => {
  const { config, jobs } = core
  const { webhookUrl, thresholds } = config.alerts
  const rules = rulesOf(thresholds)
  const alerts = createAlerts({
    ...core,
    rules,
    valuesOf: metrics.valuesOf,
    store: createAlertStore({ ...core, isDelivered: webhookUrl !== null }),
    deliveries: createDeliveries(core.db.orm),
    localDeliveries: createLocalDeliveries(),
    send: webhookUrl === null ? null : createWebhook(webhookUrl),
  })
  jobs.add({
    name: 'alerts.evaluate',
    cron: '*/15 * * * * *',
    timeoutMs: 14_000,
    once: 'all',
    run: alerts.evaluate,
  })
  jobs.add({
    name: 'alerts.deliver',
    cron: '*/5 * * * * *',
    timeoutMs: 30_000,
    once: 'all',
    run: alerts.deliver,
  })
  metrics.collect([
    {
      name: 'creditd_alert_firing',
      help: 'Whether the alert fires, by its name: 1 or 0',
      labels: ['name'],
      read: () =>
        [...alerts.firing()].map(([name, isFiring]) => ({
          labels: { name },
          value: isFiring ? 1 : 0,
        })),
    },
  ])
}
