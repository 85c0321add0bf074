import { z } from 'zod'
import { accountId, timestamp } from '../http/schema.js'

const sessionToken = (description: string) =>
  z
    .string()
    .min(1)
    .max(256)
    .meta({ description, examples: [`cs_${'x'.repeat(54)}`] })

const viewFields = {
  accountId,
  guest: z.boolean().meta({ description: 'Whether the account is a guest’s.', examples: [false] }),
  expiresAt: timestamp.meta({ description: 'It ends then unless it is used before.' }),
  endsAt: timestamp.meta({ description: 'It ends then, however much it is used.' }),
}

const example = {
  accountId: 'user-42',
  guest: false,
  expiresAt: '2026-11-21T09:45:00.000Z',
  endsAt: '2026-11-22T09:30:00.000Z',
}

export const session = z
  .object(viewFields)
  .meta({ id: 'Session', description: 'A session, without its token.', examples: [example] })
export type SessionView = z.output<typeof session>

export const newSession = z
  .object({ token: sessionToken('The token, this once.'), ...viewFields })
  .meta({
    id: 'NewSession',
    description: 'A new session with its token, which is shown this once.',
    examples: [{ token: `cs_${'x'.repeat(54)}`, ...example }],
  })
export type NewSession = z.output<typeof newSession>

export const sessionBody = z
  .strictObject({ accountId })
  .meta({ examples: [{ accountId: 'user-42' }] })

export const emptyBody = z.strictObject({}).meta({ examples: [{}] })

export const revokedSessions = z
  .object({
    accountId,
    revoked: z.int().meta({ description: 'How many sessions ended.', examples: [1] }),
  })
  .meta({
    id: 'RevokedSessions',
    description: 'Sessions that ended.',
    examples: [{ accountId: 'user-42', revoked: 1 }],
  })
export type RevokedSessions = z.output<typeof revokedSessions>

/** Who becomes whom: by the guest with proof of the user's account, or by a back end that knows. */
export const conversionBody = z
  .strictObject({
    userToken: sessionToken('By the guest: a live session of the user’s account.').optional(),
    guestToken: sessionToken('By an API key: a live session of the guest.').optional(),
    accountId: accountId
      .optional()
      .meta({ description: 'By an API key: the user’s account.', examples: ['user-42'] }),
  })
  .meta({ examples: [{ guestToken: `cs_${'x'.repeat(54)}`, accountId: 'user-42' }] })
export type ConversionBody = z.output<typeof conversionBody>
