import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from 'fastify-type-provider-zod'
import type { OpenAPIV3_1 } from 'openapi-types'
import { stringify } from 'yaml'
import { finishDocument, type RouteNote } from './openapi-document.js'
import { policyOf } from './rate-limits.js'
import { type App, isWrite, textReply } from './route.js'

export type ApiInfo = { readonly version: string }

const TAGS = [
  ['Accounts', 'Opening, reading, changing and closing accounts; their balance.'],
  ['Credits', 'How the credit system is run.'],
  ['Charges', 'Spending credits, and giving them back.'],
  ['Grants', 'Adding credits; the lots they live in.'],
  ['Holds', 'Reserving credits for a job and settling them when it ends.'],
  ['Corrections', "An operator's adjustments, transfers and freezes."],
  ['History', 'Transactions and what was used.'],
  ['Membership', 'Tiers, and what they allow.'],
  ['Prices', 'What actions cost.'],
  ['Purchases', 'Packages, who buys them, and what became of the payments.'],
  ['Sessions', 'Tokens for the users of an app, and for guests.'],
  ['Rate limits', 'The limits of this service, for other back ends to count with.'],
  ['Events', 'What happened, as a feed and as webhooks.'],
  ['Bulk', 'Many operations in one call.'],
  ['Administration', 'API keys, the audit log, reconciliation.'],
  ['Operations', 'Health, metrics and this document.'],
] as const

/** Nothing from elsewhere, nothing inline; unlike the plugin's own it also works without TLS. */
const DOCS_CSP = {
  'default-src': ["'none'"],
  'base-uri': ["'none'"],
  'connect-src': ["'self'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
  'img-src': ["'self'", 'data:'],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
}

/** Describes every route that is registered after it, and serves the description. */
export async function registerOpenapi(app: App, info: ApiInfo): Promise<void> {
  const notes = new Map<string, RouteNote>()
  const transform = createJsonSchemaTransform({ zodToJsonConfig: { unrepresentable: 'any' } })
  const components = createJsonSchemaTransformObject({
    zodToJsonConfig: { unrepresentable: 'any' },
  })
  app.addHook('onRoute', ({ method, url, config, schema, bodyLimit }) => {
    if (typeof method !== 'string' || !schema || schema.hide) return
    notes.set(`${method} ${url.replace(/:(\w+)/g, '{$1}')}`, {
      access: config?.access ?? 'public',
      errors: config?.errors ?? [],
      limit: policyOf(config),
      tellsSystem: config?.tellsSystem ?? false,
      hasBody: schema.body !== undefined,
      hasInput: [schema.body, schema.params, schema.querystring].some((s) => s !== undefined),
      isWrite: isWrite(method) && config?.audit?.record !== 'refusals',
      bodyLimitBytes: bodyLimit ?? app.initialConfig.bodyLimit ?? 0,
    })
  })
  await app.register(swagger, {
    openapi: { openapi: '3.1.1', ...frame(info) },
    transform,
    transformObject: (document) =>
      finishDocument(components(document) as OpenAPIV3_1.Document, notes),
  })
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'public', limit: null }
    })
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: DOCS_CSP,
      transformSpecificationClone: false,
      uiConfig: { docExpansion: 'list', deepLinking: true },
    })
  })
  serveDocument(app)
}

/** The document as it is committed and served. */
export const openapiYaml = (app: App): string =>
  stringify(app.swagger(), { lineWidth: 0, aliasDuplicateObjects: false })

function serveDocument(app: App): void {
  const config = { access: 'public', limit: null } as const
  const schema = (operationId: string, form: string, type: string) => ({
    operationId,
    tags: ['Operations'],
    summary: `This document as ${form}`,
    description: `The description of the API in OpenAPI 3.1, as ${form}.`,
    response: { 200: textReply(type, `The document as ${form}`) },
  })
  let json: string | undefined
  let yaml: string | undefined
  app.get(
    '/openapi.json',
    { config, schema: schema('getOpenapiJson', 'JSON', 'application/json') },
    async (_request, reply) => {
      json ??= JSON.stringify(app.swagger())
      return reply.type('application/json; charset=utf-8').send(json)
    },
  )
  app.get(
    '/openapi.yaml',
    { config, schema: schema('getOpenapiYaml', 'YAML', 'application/yaml') },
    async (_request, reply) => {
      yaml ??= openapiYaml(app)
      return reply.type('application/yaml; charset=utf-8').send(yaml)
    },
  )
}

const frame = ({ version }: ApiInfo) => ({
  info: {
    title: 'creditd',
    version,
    description:
      'The credits back end of an AI or SaaS product: balances, charges, grants, holds and their ' +
      'history, exact under concurrency.\n\n' +
      'Every write takes an `Idempotency-Key`: the same key with the same body gives the first ' +
      'answer again, marked `Idempotent-Replayed: true`. Every error is a problem document ' +
      '(RFC 9457) whose `code` is stable. Amounts are whole credits as JSON integers.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/', description: 'The service that serves this document' }],
  tags: TAGS.map(([name, description]) => ({ name, description })),
  components: {
    securitySchemes: {
      apiKey: {
        type: 'http' as const,
        scheme: 'bearer',
        description: 'An API key. What it may do is set by its scopes; `admin` may do everything.',
      },
      session: {
        type: 'http' as const,
        scheme: 'bearer',
        description: 'The token of a session. It reaches the data of its own account alone.',
      },
    },
  },
})
