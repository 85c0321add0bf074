import type { OpenAPIV3_1 } from 'openapi-types'
import type { App } from './route.js'

/** How the credit system is run, for all replies that have to do with credits. */
export type CreditSystem = { readonly version: 'v1' | 'v2'; readonly rollbackMode: boolean }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its replies tell how the credit system is run; set by the path. */
    tellsSystem?: boolean
  }
}

const VERSION = 'X-Credit-System-Version'
const ROLLBACK = 'X-Rollback-Mode'

/** Everything that shows, sells or moves credits, by the first step of its path. */
const CREDIT_STEPS: ReadonlySet<string> = new Set([
  ...['accounts', 'credits', 'operations', 'packages', 'plans', 'prices', 'purchases'],
  ...['tiers', 'transactions', 'transfers'],
])
const FIRST_STEP = /^\/v1\/([^/]+)/

/** Tells callers of credits, with every reply, refusals too, how the credit system is run. */
export function registerSystemHeaders(app: App, { version, rollbackMode }: CreditSystem): void {
  const headers = { [VERSION]: version, [ROLLBACK]: String(rollbackMode) }
  app.addHook('onRoute', (route) => {
    const [, step = ''] = FIRST_STEP.exec(route.url) ?? []
    if (CREDIT_STEPS.has(step)) route.config = { ...route.config, tellsSystem: true }
  })
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.tellsSystem) reply.headers(headers)
    done()
  })
}

/** Components of replies that have to do with credits, by the names of their headers. */
export const SYSTEM_HEADERS: Readonly<
  Record<string, readonly [component: string, OpenAPIV3_1.HeaderObject]>
> = {
  [VERSION]: [
    'CreditSystemVersion',
    {
      description: 'The version of the credit system in force.',
      schema: { type: 'string', enum: ['v1', 'v2'] },
      example: 'v1',
    },
  ],
  [ROLLBACK]: [
    'RollbackMode',
    {
      description: '`true` while v1 is forced.',
      schema: { type: 'string', enum: ['true', 'false'] },
      example: 'false',
    },
  ],
}
