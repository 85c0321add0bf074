import { z } from 'zod'
import { storedMetadata } from '../http/metadata.js'
import { accountId, nextCursor, pageQuery, text, timestamp, wholeInQuery } from '../http/schema.js'
import { EVENT_TYPES } from './event-types.js'
import { MAX_URL_LENGTH } from './target.js'

const eventType = z.enum(EVENT_TYPES).meta({
  description: 'What happened.',
  examples: ['balance.low'],
})

const position = z.int().meta({
  description: 'Its place among all events, without gaps.',
  examples: [812],
})

const eventExample = {
  id: 'evt_5b0f1c4c9d6c4b53a2a0b3b8b3c7f0aa',
  position: 812,
  accountId: 'user-42',
  accountSeq: 7,
  type: 'balance.low',
  data: { available: 4, balance: 4, threshold: 10, accountId: 'user-42', seq: 17 },
  createdAt: '2026-11-21T09:30:00.000Z',
}

const event = z
  .object({
    id: z.string().meta({ description: 'The same in the feed and in every delivery.' }),
    position,
    accountId: z.string(),
    accountSeq: z.int().meta({ description: 'Counts the events of the account: 1, 2, 3 …' }),
    type: z.string().meta({ description: 'What happened.', examples: ['balance.low'] }),
    data: storedMetadata.meta({
      type: 'object',
      additionalProperties: true,
      description: 'What there is to say of it, by its type.',
      examples: [eventExample.data],
    }),
    createdAt: timestamp,
  })
  .meta({ id: 'Event', description: 'Something that happened.', examples: [eventExample] })

export const feedQuery = z.strictObject({
  after: wholeInQuery(0, Number.MAX_SAFE_INTEGER)
    .optional()
    .meta({
      description:
        'Events after this position: the `nextCursor` of the call before. Without it, from the ' +
        'oldest event that is kept.',
      examples: [811],
    }),
  limit: pageQuery.shape.limit,
  accountId: accountId.optional(),
  type: eventType.optional(),
})
export type FeedQuery = z.output<typeof feedQuery>

export const feed = z
  .object({
    events: z.array(event),
    nextCursor: z.string().meta({
      description: '`after` of the next call; never null, for there will be more events.',
      examples: ['812'],
    }),
    hasMore: z.boolean().meta({ description: 'Whether to go on at once.' }),
  })
  .meta({
    id: 'Feed',
    description: 'Events in their order.',
    examples: [{ events: [eventExample], nextCursor: '812', hasMore: false }],
  })
export type FeedView = z.output<typeof feed>

const endpointId = z
  .string()
  .min(1)
  .max(64)
  .meta({ description: 'The id of a webhook endpoint.', examples: ['7c3d0a52'] })
export const endpointParams = z.object({ id: endpointId })
export const emptyBody = z.strictObject({}).meta({ examples: [{}] })

export const endpointBody = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .max(MAX_URL_LENGTH)
      .meta({
        description: 'https, without a user or a password, and not in a private network.',
        examples: ['https://example.com/hooks/credits'],
      }),
    types: z
      .array(eventType)
      .min(1)
      .max(EVENT_TYPES.length)
      .nullable()
      .optional()
      .meta({
        description: 'What it is sent; without it, all there is and will be.',
        examples: [['balance.low', 'purchase.completed']],
      }),
    description: text(200)
      .nullable()
      .optional()
      .meta({ description: 'For people.', examples: ['mails to customers'] }),
  })
  .meta({
    examples: [{ url: 'https://example.com/hooks/credits', types: ['balance.low'] }],
  })
export type EndpointBody = z.output<typeof endpointBody>

const endpointExample = {
  id: '7c3d0a52',
  url: 'https://example.com/hooks/credits',
  types: ['balance.low'],
  description: null,
  enabled: true,
  disabledAt: null,
  disabledReason: null,
  failingSince: null,
  lastDeliveredAt: '2026-11-21T09:30:00.000Z',
  lastFailure: null,
  previousSecretEndsAt: null,
  createdAt: '2026-11-20T12:00:00.000Z',
}

export const endpoint = z
  .object({
    id: endpointId,
    url: z.string(),
    types: z
      .array(z.string())
      .nullable()
      .meta({ description: 'What it is sent; null: all there is and will be.' }),
    description: z.string().nullable(),
    enabled: z.boolean().meta({ description: 'Whether it is sent anything.' }),
    disabledAt: timestamp.nullable(),
    disabledReason: z
      .string()
      .nullable()
      .meta({ description: 'Why it was switched off.', examples: ['it answered 410'] }),
    failingSince: timestamp
      .nullable()
      .meta({ description: 'Since when nothing was delivered though it was tried.' }),
    lastDeliveredAt: timestamp.nullable().meta({ description: 'Within a second or so.' }),
    lastFailure: z
      .object({
        at: timestamp,
        status: z.int().nullable().meta({ description: 'What was answered; null: nothing.' }),
        error: z.string().meta({ examples: ['it answered 500'] }),
      })
      .nullable()
      .meta({ description: 'The last attempt that failed.' }),
    previousSecretEndsAt: timestamp
      .nullable()
      .meta({ description: 'Until then the secret before the present one signs too.' }),
    createdAt: timestamp,
  })
  .meta({
    id: 'WebhookEndpoint',
    description: 'Where events are sent to, without its secret.',
    examples: [endpointExample],
  })
export type EndpointView = z.output<typeof endpoint>

export const newEndpoint = z
  .object({
    ...endpoint.shape,
    secret: z.string().meta({ description: 'What its deliveries are signed with; shown once.' }),
  })
  .meta({
    id: 'WebhookEndpointWithSecret',
    description: 'A webhook endpoint with a new secret, which is never shown again.',
    examples: [
      { ...endpointExample, secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwJxUvPqHk0Mc=' },
    ],
  })
export type NewEndpointView = z.output<typeof newEndpoint>

export const endpoints = z.object({ webhookEndpoints: z.array(endpoint), nextCursor })

export const deliveryQuery = pageQuery.extend({
  status: z
    .enum(['pending', 'failed'])
    .optional()
    .meta({ description: 'Both without it.', examples: ['failed'] }),
})
export type DeliveryQuery = z.output<typeof deliveryQuery>

const delivery = z
  .object({
    eventId: z.string().meta({ description: 'The id of the event, as in the feed.' }),
    position,
    accountId: z.string(),
    type: z.string().meta({ examples: ['balance.low'] }),
    status: z.enum(['pending', 'failed']).meta({ description: '`failed`: it was given up.' }),
    attempts: z.int().meta({ description: 'How often it was tried in vain.' }),
    nextAttemptAt: timestamp.nullable().meta({ description: 'null: never, it was given up.' }),
    lastAttemptAt: timestamp.nullable(),
    lastStatus: z.int().nullable().meta({ description: 'What was answered; null: nothing.' }),
    lastError: z.string().nullable(),
    createdAt: timestamp.meta({ description: 'When the event happened.' }),
  })
  .meta({
    id: 'WebhookDelivery',
    description: 'An event that an endpoint has not taken.',
    examples: [
      {
        eventId: eventExample.id,
        position: 812,
        accountId: 'user-42',
        type: 'balance.low',
        status: 'pending',
        attempts: 2,
        nextAttemptAt: '2026-11-21T09:35:05.000Z',
        lastAttemptAt: '2026-11-21T09:30:05.000Z',
        lastStatus: 500,
        lastError: 'it answered 500',
        createdAt: '2026-11-21T09:30:00.000Z',
      },
    ],
  })
export type DeliveryView = z.output<typeof delivery>

export const deliveries = z.object({ deliveries: z.array(delivery), nextCursor })
