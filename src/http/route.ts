import type { IncomingMessage, ServerResponse } from 'node:http'
import type {
  FastifyBaseLogger,
  FastifyContextConfig,
  FastifyInstance,
  FastifySchema,
  RawServerDefault,
} from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { ErrorCode } from '../errors.js'
import type { PolicyName } from '../policies.js'
import type { Access, Actor } from './actor.js'

/** Account ids of 128 characters, each percent-encoded, fit. */
export const MAX_PARAM_LENGTH = 512

/*
 * Conventions of routes. A feature's `routes.ts` holds a plugin `FastifyPluginAsyncZod<Deps>`: for
 * each route one service call and the reply's status, and below it a `contract` with what is
 * declared of it, its `config` and its `schema`. The schema has
 * `operationId`, `tags`, `summary`, `description`, and zod schemas of params, querystring, body and
 * of each 2xx reply; examples stand in the zod schemas' `meta`. Refusals are thrown as AppError;
 * `config.errors` lists those that are particular to the route, so that the OpenAPI has them.
 * What every route has (401, 403, malformed input, 500, 503) is added there by itself.
 */

/** How a write shows in the audit log. */
export type AuditRule = {
  /** What was tried: the type of the ledger row it would write, or the name of the act. */
  readonly action: string
  /**
   * `ledger`: its row is the record of its success, so only refusals are noted; `refusals`: its
   * success is no act, and a repeat of it is not known by an idempotency key.
   */
  readonly record: 'ledger' | 'act' | 'refusals'
  /** The body holds a secret: it stays out of the log. */
  readonly hasSecretBody?: boolean
}

/** The failure a reply told of, kept for the audit log and the metrics. */
export type Failure = { readonly code: ErrorCode; readonly message: string }

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route declares one: the service does not start otherwise. */
    access?: Access
    /** Errors of this route beside those that every route has. */
    errors?: readonly ErrorCode[]
    /** Every route that writes declares one. */
    audit?: AuditRule
    /** The rate limit it is held to, `api` where nothing is declared; null: none. */
    limit?: PolicyName | null
  }
  interface FastifyRequest {
    actor: Actor
    failure: Failure | null
    /** Whether the answer was given before, so that it is no second act. */
    isReplay: boolean
  }
}

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>

/** What is declared of a route: all but its path, its method and its handler. */
export const contract = <
  const C extends {
    readonly config: FastifyContextConfig
    readonly schema: FastifySchema
    readonly bodyLimit?: number
  },
>(
  declared: C,
): C => declared

/** A reply that is text of its own kind and not made from a schema. */
export const textReply = (contentType: string, description: string) => ({
  description,
  content: { [contentType]: { schema: z.unknown().meta({ examples: ['…'] }) } },
})

const WRITE_METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

export const isWrite = (method: string | readonly string[]): boolean =>
  typeof method === 'string' ? WRITE_METHODS.has(method) : method.some((m) => WRITE_METHODS.has(m))

/** The path without its query. */
export function pathOf(url: string): string {
  const at = url.indexOf('?')
  return at < 0 ? url : url.slice(0, at)
}
