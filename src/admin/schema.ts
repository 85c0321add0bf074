import { z } from 'zod'
import { SCOPES } from '../http/actor.js'
import { storedMetadata } from '../http/metadata.js'
import {
  accountId,
  instant,
  nextCursor,
  pageQuery,
  text,
  timestamp,
  whole,
} from '../http/schema.js'
import { MAX_UNITS, MAX_WINDOW_SECONDS } from '../policies.js'

const keyId = z
  .string()
  .min(1)
  .max(64)
  .meta({ description: 'The id of an API key; not the key.', examples: ['0f9c1d1e'] })

const scopes = z
  .array(z.enum(SCOPES))
  .min(1)
  .max(SCOPES.length)
  .meta({
    description: 'What the key may do; `admin` may do everything.',
    examples: [['credits:read', 'credits:write']],
  })

const rateLimit = z.object({
  max: whole(1, MAX_UNITS, 'calls').meta({ description: 'Calls it may make.', examples: [600] }),
  windowSeconds: whole(1, MAX_WINDOW_SECONDS, 'seconds').meta({
    description: 'In any stretch of this many seconds.',
    examples: [60],
  }),
})
const ownLimit = 'A rate limit of its own; without one the key is not limited.'

export const apiKeyBody = z
  .strictObject({
    name: text(100).meta({ description: 'For people.', examples: ['chat back end'] }),
    scopes,
    expiresAt: instant.nullable().optional().meta({ description: 'The key ends then.' }),
    rateLimit: z
      .strictObject(rateLimit.shape)
      .nullable()
      .optional()
      .meta({ description: ownLimit }),
  })
  .meta({ examples: [{ name: 'chat back end', scopes: ['credits:read', 'credits:write'] }] })
export type ApiKeyBody = z.output<typeof apiKeyBody>

const example = {
  id: '0f9c1d1e',
  name: 'chat back end',
  prefix: 'ck_live_x7Qd',
  scopes: ['credits:read', 'credits:write'],
  createdAt: '2026-11-21T09:00:00.000Z',
  expiresAt: null,
  revokedAt: null,
  rateLimit: null,
}

export const apiKey = z
  .object({
    id: keyId,
    name: z.string(),
    prefix: z.string().meta({ description: 'How the key begins.' }),
    scopes,
    createdAt: timestamp,
    expiresAt: timestamp.nullable(),
    revokedAt: timestamp.nullable(),
    rateLimit: rateLimit.nullable().meta({ description: ownLimit }),
  })
  .meta({ id: 'ApiKey', description: 'An API key, without the key itself.', examples: [example] })
export type ApiKey = z.output<typeof apiKey>

export const newApiKey = z
  .object({ ...apiKey.shape, key: z.string().meta({ description: 'The key; shown this once.' }) })
  .meta({
    id: 'NewApiKey',
    description: 'A new API key. The key itself is never shown again.',
    examples: [{ ...example, key: 'ck_live_x7Qd0TIDhEq3mKJ6mQ2o8vVZz0k1n5cWb4sYtR9aLxE' }],
  })
export type NewApiKey = z.output<typeof newApiKey>

export const apiKeys = z.object({ apiKeys: z.array(apiKey), nextCursor })
export const apiKeyQuery = pageQuery
export const apiKeyParams = z.object({ id: keyId })

export const auditQuery = pageQuery.extend({
  accountId: accountId.optional(),
  action: text(100)
    .optional()
    .meta({
      description: 'The type of the ledger entry, or the name of an act.',
      examples: ['charge'],
    }),
  status: z.enum(['success', 'failed']).optional(),
  from: instant.optional().meta({ description: 'Not before this instant.' }),
  to: instant.optional().meta({ description: 'Not after this instant.' }),
})
export type AuditQuery = z.output<typeof auditQuery>

const auditEntry = z
  .object({
    id: z.string().meta({ description: 'A transactionId where it is an entry of the ledger.' }),
    accountId: z.string().nullable(),
    action: z.string(),
    status: z.enum(['success', 'failed']),
    metadata: storedMetadata.meta({
      type: ['object', 'null'],
      additionalProperties: true,
      description: 'What was asked; metadata of the caller stands within it, under its own name.',
      examples: [{ body: { amount: 10 } }],
    }),
    errorCode: z.string().nullable(),
    errorMessage: z.string().nullable(),
    actor: z.string(),
    requestId: z.string().nullable(),
    createdAt: timestamp,
  })
  .meta({
    id: 'AuditEntry',
    description: 'Who did what, and what came of it.',
    examples: [
      {
        id: '1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b',
        accountId: 'user-42',
        action: 'charge',
        status: 'failed',
        metadata: { body: { amount: 10 } },
        errorCode: 'insufficient_credits',
        errorMessage: '10 credits are required, 3 are available',
        actor: 'key:0f9c1d1e',
        requestId: 'k3x9-1f',
        createdAt: '2026-11-21T09:30:00.000Z',
      },
    ],
  })
export type AuditView = z.output<typeof auditEntry>

export const auditEntries = z.object({ entries: z.array(auditEntry), nextCursor })

export const reconcileQuery = z.strictObject({ accountId: accountId.optional() })
export const reconciliation = z
  .object({
    accounts: z.int().meta({ description: 'How many accounts were looked at.' }),
    mismatches: z
      .array(
        z.object({
          accountId: z.string(),
          check: z.string(),
          expected: z.string(),
          actual: z.string(),
        }),
      )
      .meta({ description: 'What does not agree, at most 1,000; empty when all is well.' }),
  })
  .meta({
    id: 'Reconciliation',
    description: 'Whether the books agree with themselves.',
    examples: [{ accounts: 1204, mismatches: [] }],
  })
