import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Actor, actorName, ownerOf } from './actor.js'
import { isStorable, metadataFault } from './metadata.js'
import { type App, type AuditRule, isWrite } from './route.js'
import { ACCOUNT_ID } from './schema.js'

/** What the audit log is told of one call. */
export type AuditEntry = {
  readonly accountId: string | null
  readonly action: string
  readonly status: 'success' | 'failed'
  readonly actor: string
  readonly requestId: string
  readonly errorCode: string | null
  readonly errorMessage: string | null
  readonly metadata: Readonly<Record<string, unknown>> | null
}

/** Takes an entry at once and writes it soon; never fails its caller. */
export type AuditSink = { record(entry: AuditEntry): void }

/**
 * Notes refused writes of known callers, and the acts that leave no ledger row. Every route that
 * writes must declare how it shows in the log.
 */
export function registerAudit(app: App, sink: AuditSink): void {
  const undeclared: string[] = []
  app.addHook('onRoute', ({ method, url, config }) => {
    if (isWrite(method) && config?.audit === undefined) undeclared.push(`${method} ${url}`)
  })
  app.addHook('onReady', async () => {
    if (undeclared.length > 0) throw new Error(`routes without audit: ${undeclared.join(', ')}`)
  })
  app.addHook('onResponse', (request, reply, done) => {
    const rule = request.routeOptions.config.audit
    if (rule !== undefined && isKnown(request.actor)) {
      // whoever is turned away for calling too often must not fill the log by it
      const hasFailed = reply.statusCode >= 400 && request.failure?.code !== 'rate_limited'
      if (hasFailed || (rule.record === 'act' && reply.statusCode < 400 && !request.isReplay)) {
        sink.record(entryOf(request, reply, rule))
      }
    }
    done()
  })
}

const isKnown = (actor: Actor): boolean => actor.kind !== 'anonymous'

function entryOf(request: FastifyRequest, reply: FastifyReply, rule: AuditRule): AuditEntry {
  const { failure } = request
  return {
    accountId: accountOf(request) ?? ownerOf(request.actor),
    action: rule.action,
    status: reply.statusCode < 400 ? 'success' : 'failed',
    actor: actorName(request.actor),
    requestId: request.id,
    errorCode: failure?.code ?? null,
    errorMessage: failure?.message ?? null,
    metadata: detailsOf(request, rule),
  }
}

/** What was asked, under names of its own: a caller's metadata can't pass for a field of ours. */
function detailsOf(
  { params, body }: FastifyRequest,
  { hasSecretBody }: AuditRule,
): AuditEntry['metadata'] {
  const details: Record<string, unknown> = hasSecretBody ? {} : { ...auditable(body) }
  for (const [name, value] of Object.entries(params ?? {})) {
    if (name !== 'accountId' && isStorable(String(value))) details[name] = value
  }
  return Object.keys(details).length === 0 ? null : details
}

/** A body as the log keeps it; a refused one can be anything: what can't be stored is left out. */
export function auditable(body: unknown): AuditEntry['metadata'] {
  if (metadataFault(body) !== null || Object.keys(body ?? {}).length === 0) return null
  return { body }
}

function accountOf({ params, body }: FastifyRequest): string | null {
  for (const source of [params, body]) {
    if (typeof source !== 'object' || source === null) continue
    const { accountId, from } = source as { accountId?: unknown; from?: unknown }
    const found = accountId ?? from
    if (typeof found === 'string' && ACCOUNT_ID.test(found)) return found
  }
  return null
}
