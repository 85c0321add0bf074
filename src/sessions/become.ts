import { AppError } from '../errors.js'
import type { Actor } from '../http/actor.js'
import { invalidField } from '../http/validator.js'
import type { Conversion } from './conversion.js'
import type { ConversionBody, NewSession } from './schema.js'
import type { SessionCaller, Sessions } from './service.js'

export type BecomeDeps = {
  readonly sessions: Pick<Sessions, 'find' | 'create'>
  readonly conversion: Pick<Conversion, 'convert'>
}

/**
 * Lets a guest become a user and begins the user's session. Whoever asks must show both: the guest
 * by its own session and one of the user's account, a back end by the guest's session and its word
 * for the account. Throws `session_not_found`, `forbidden` and what the conversion throws.
 */
export type Become = (
  actor: Actor,
  caller: SessionCaller,
  body: ConversionBody,
) => Promise<NewSession>

export function createBecome({ sessions, conversion }: BecomeDeps): Become {
  /** The account of a live session of that kind. */
  async function accountOf(field: string, token: string, isGuest: boolean): Promise<string> {
    const session = await sessions.find(token)
    if (session === null) {
      throw new AppError('session_not_found', `The session of ${field} is unknown or has ended`)
    }
    const kind = isGuest ? 'a guest' : 'a user'
    if (session.isGuest !== isGuest) throw invalidField(field, `Must be a session of ${kind}`)
    return session.accountId
  }

  async function ofGuest(accountId: string, isGuest: boolean, body: ConversionBody) {
    if (!isGuest) throw new AppError('forbidden', 'Only a guest can become a user')
    const { userToken, guestToken, accountId: named } = body
    if (guestToken !== undefined) throw invalidField('guestToken', 'Goes with an API key')
    if (named !== undefined) {
      throw invalidField('accountId', 'Goes with an API key; a guest shows a userToken')
    }
    if (userToken === undefined) throw invalidField('userToken', 'Is required')
    return { from: accountId, to: await accountOf('userToken', userToken, false) }
  }

  async function byKey({ userToken, guestToken, accountId }: ConversionBody) {
    if (userToken !== undefined) throw invalidField('userToken', 'Goes with the session of a guest')
    if (guestToken === undefined) throw invalidField('guestToken', 'Is required')
    if (accountId === undefined) throw invalidField('accountId', 'Is required')
    return { from: await accountOf('guestToken', guestToken, true), to: accountId }
  }

  return async (actor, caller, body) => {
    const { from, to } =
      actor.kind === 'session'
        ? await ofGuest(actor.accountId, actor.isGuest, body)
        : await byKey(body)
    await conversion.convert(caller, from, to)
    return sessions.create(to)
  }
}
