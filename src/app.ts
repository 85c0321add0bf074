import { type Admin, adminRoutes } from './admin/routes.js'
import { type Credits, creditRoutes } from './credits/credits.js'
import { healthRoutes } from './health/routes.js'
import type { Health } from './health/service.js'
import { metricsRoute } from './http/metrics.js'
import type { Once } from './http/once.js'
import type { App } from './http/route.js'
import { createHttpServer, type HttpDeps } from './http/server.js'

export type AppDeps = {
  readonly http: HttpDeps
  readonly once: Once
  readonly credits: Credits
  readonly admin: Admin
  readonly health: Health
}

/** The whole HTTP side over services that are there already; opens nothing and listens nowhere. */
export async function buildApp({ http, once, credits, admin, health }: AppDeps): Promise<App> {
  const app = await createHttpServer(http)
  await app.register(creditRoutes, { credits, once })
  await app.register(adminRoutes, { admin, once })
  await app.register(healthRoutes, { health })
  metricsRoute(app, http.metrics)
  return app
}
