import { type Admin, adminRoutes } from './admin/routes.js'
import { type Credits, creditRoutes } from './credits/credits.js'
import { type EventServices, eventRoutes } from './events/routes.js'
import { healthRoutes } from './health/routes.js'
import type { Health } from './health/service.js'
import { metricsRoute } from './http/metrics.js'
import type { Once } from './http/once.js'
import type { App } from './http/route.js'
import { createHttpServer, type HttpDeps } from './http/server.js'
import { limitRoutes } from './limits/routes.js'
import type { Limits } from './limits/service.js'
import { type PlanRoutesDeps, planRoutes } from './plans/routes.js'
import { type SubscriptionRoutesDeps, subscriptionRoutes } from './plans/subscription-routes.js'
import { webhookRoutes } from './purchases/inbox/routes.js'
import type { Inbox } from './purchases/inbox/service.js'
import { type PurchaseRoutesDeps, purchaseRoutes } from './purchases/routes.js'
import { type SessionRoutesDeps, sessionRoutes } from './sessions/routes.js'

export type AppDeps = {
  readonly http: HttpDeps
  readonly once: Once
  readonly credits: Credits
  readonly admin: Admin
  readonly health: Health
  readonly limits: Limits
  readonly events: EventServices
  readonly purchases: Omit<PurchaseRoutesDeps, 'once'>
  readonly inbox: Inbox
  readonly plans: Omit<PlanRoutesDeps & SubscriptionRoutesDeps, 'once'>
  readonly sessions: Omit<SessionRoutesDeps, 'once'>
}

/** The whole HTTP side over services that are there already; opens nothing and listens nowhere. */
export async function buildApp({ http, once, ...features }: AppDeps): Promise<App> {
  const { admin, credits, events, health, inbox, limits, plans, purchases, sessions } = features
  const app = await createHttpServer(http)
  await app.register(creditRoutes, { credits, once })
  await app.register(sessionRoutes, { ...sessions, once })
  await app.register(purchaseRoutes, { ...purchases, once })
  await app.register(webhookRoutes, { inbox })
  await app.register(planRoutes, { ...plans, once })
  await app.register(subscriptionRoutes, { ...plans, once })
  await app.register(limitRoutes, { limits })
  await app.register(eventRoutes, { events, once })
  await app.register(adminRoutes, { admin, once })
  await app.register(healthRoutes, { health })
  metricsRoute(app, http.metrics)
  return app
}
