import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { AppError } from '../errors.js'
import { bearerOf } from '../http/auth.js'
import type { Once } from '../http/once.js'
import { contract } from '../http/route.js'
import { accountParams } from '../http/schema.js'
import type { Become } from './become.js'
import type { NewSession, RevokedSessions } from './schema.js'
import * as schema from './schema.js'
import type { Sessions } from './service.js'

const tags = ['Sessions']
const ONCE_SHOWN =
  ' The reply holds the token, this once: a repeat under the same idempotency key is refused ' +
  'with `secret_not_replayed`.'
const WHERE =
  ', in every instance. When the one that answers can not reach Redis, the others follow within ' +
  'a few seconds (usually two).'

export type SessionRoutesDeps = {
  readonly sessions: Sessions
  readonly become: Become
  readonly once: Once
}

export const sessionRoutes: FastifyPluginAsyncZod<SessionRoutesDeps> = async (app, deps) => {
  const { sessions, become, once } = deps
  const isSecret = { isSecret: true } as const

  app.post('/v1/sessions', createSession, (request, reply) => {
    const work = async () => ({ status: 201, body: await sessions.create(request.body.accountId) })
    return once<NewSession>(request, reply, work, isSecret)
  })

  app.post('/v1/sessions/guest', createGuestSession, (request, reply) =>
    once<NewSession>(
      request,
      reply,
      async (caller) => ({ status: 201, body: await sessions.createGuest(caller) }),
      isSecret,
    ),
  )

  app.get('/v1/sessions/current', getCurrentSession, async ({ headers }) =>
    sessions.current(tokenOf(headers)),
  )

  app.delete('/v1/sessions/current', revokeCurrentSession, (request, reply) =>
    once<RevokedSessions>(request, reply, async () => {
      const { accountId } = await sessions.current(tokenOf(request.headers))
      const revoked = await sessions.revoke(tokenOf(request.headers))
      return { status: 200, body: { accountId, revoked } }
    }),
  )

  app.post('/v1/sessions/current/convert', convertGuest, (request, reply) =>
    once<NewSession>(
      request,
      reply,
      async (caller) => ({ status: 200, body: await become(request.actor, caller, request.body) }),
      isSecret,
    ),
  )

  app.delete('/v1/accounts/:accountId/sessions', revokeSessions, (request, reply) =>
    once<RevokedSessions>(request, reply, async () => {
      const { accountId } = request.params
      const revoked = await sessions.revokeOf(accountId)
      return { status: 200, body: { accountId, revoked } }
    }),
  )
}

function tokenOf({ authorization = '' }: { authorization?: string | undefined }): string {
  const token = bearerOf(authorization)
  if (token === null) throw new AppError('unauthenticated', 'Send Authorization: Bearer <token>')
  return token
}

const createSession = contract({
  config: {
    access: 'sessions:write',
    limit: 'auth',
    audit: { action: 'session_create', record: 'act' },
    errors: [
      'account_not_found',
      'account_closed',
      'already_converted',
      'secret_not_replayed',
      'sessions_unavailable',
      'database_unavailable',
    ],
  },
  schema: {
    operationId: 'createSession',
    tags,
    summary: 'Begin a session of an account',
    description:
      'For a user whom your back end has recognised. The session lives 15 minutes (or as set) ' +
      'after each use, and a day at most. Of an account at most 1,000 live at once: beyond that ' +
      `the one that expires first ends.${ONCE_SHOWN}`,
    body: schema.sessionBody,
    response: { 201: schema.newSession },
  },
})

const createGuestSession = contract({
  config: {
    access: 'public',
    limit: 'auth',
    audit: { action: 'guest_session_create', record: 'act' },
    errors: ['secret_not_replayed', 'sessions_unavailable', 'database_unavailable'],
  },
  schema: {
    operationId: 'createGuestSession',
    tags,
    summary: 'Begin a session of a guest',
    description:
      'For anybody, without a credential: opens an account for the guest, without a signup ' +
      'bonus, and begins its session, which lives 5 minutes (or as set) after each use. The ' +
      `account closes by itself when the guest is gone and it holds no credits.${ONCE_SHOWN}`,
    body: schema.emptyBody,
    response: { 201: schema.newSession },
  },
})

const getCurrentSession = contract({
  config: { access: 'session' },
  schema: {
    operationId: 'getCurrentSession',
    tags,
    summary: 'Read the session of the call',
    description: 'Whose session it is and until when. Like every call it prolongs the session.',
    response: { 200: schema.session },
  },
})

const revokeCurrentSession = contract({
  config: { access: 'session', audit: { action: 'session_revoke', record: 'act' } },
  schema: {
    operationId: 'revokeCurrentSession',
    tags,
    summary: 'End the session of the call',
    description: `Its token is refused from then on${WHERE}`,
    body: schema.emptyBody,
    response: { 200: schema.revokedSessions },
  },
})

const convertGuest = contract({
  config: {
    access: { scopes: 'sessions:write', session: 'narrowed' },
    audit: { action: 'guest_convert', record: 'act', hasSecretBody: true },
    errors: [
      'account_not_found',
      'account_frozen',
      'account_closed',
      'already_converted',
      'session_not_found',
      'secret_not_replayed',
      'sessions_unavailable',
    ],
  },
  schema: {
    operationId: 'convertGuest',
    tags,
    summary: 'Let a guest become a user',
    description:
      'Moves the credits of the guest to the account of the user, once; ends the sessions of ' +
      'the guest, closes its account and begins a session of the user. Credits that a hold has ' +
      'reserved follow when the hold is settled; debt stays. Called with the session of the ' +
      'guest, `userToken` (a live session of the user) proves whose account it is. Called with ' +
      `an API key, \`guestToken\` names the guest and \`accountId\` the user.${ONCE_SHOWN}`,
    body: schema.conversionBody,
    response: { 200: schema.newSession },
  },
})

const revokeSessions = contract({
  config: {
    access: 'sessions:write',
    audit: { action: 'sessions_revoke', record: 'act' },
    errors: ['account_not_found', 'sessions_unavailable'],
  },
  schema: {
    operationId: 'revokeSessions',
    tags,
    summary: 'End all sessions of an account',
    description: `Their tokens are refused from then on${WHERE}`,
    params: accountParams,
    body: schema.emptyBody,
    response: { 200: schema.revokedSessions },
  },
})
