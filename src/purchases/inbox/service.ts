import { AppError } from '../../errors.js'
import type { ProviderName, TakeFact } from '../../payment-facts.js'
import type { PaymentProvider, ProviderEvent, RawEvent } from '../providers/provider.js'
import type { InboxStore } from './store.js'
import { createWorker, type InboxLog, type Worker } from './worker.js'

/** A provider whose events are taken. */
export type WebhookSource = {
  readonly provider: PaymentProvider
  /** Whether this deployment takes real money; null: nobody has said. */
  readonly isLive: boolean | null
}

export type InboxDeps = {
  readonly store: InboxStore
  /** Those that have a secret to prove events by. */
  readonly sources: ReadonlyMap<ProviderName, WebhookSource>
  readonly takeFact: TakeFact
  /** Ms since the epoch. */
  readonly now: () => number
  readonly log: InboxLog
}

export type Inbox = Worker & {
  /**
   * Keeps an event for the workers, once, however often it comes. It is safe when this returns.
   * Throws `not_found` where no secret is known to prove the provider's events by,
   * `invalid_signature`, and `invalid_request` for what is no event.
   */
  receive(provider: ProviderName, raw: RawEvent): Promise<void>
}

/** What tells where an event came from; all else of the headers may be secret. */
const KEPT_HEADERS = ['content-type', 'user-agent']
const MAX_HEADER_LENGTH = 300
/** Ids and types of events are short words everywhere. */
const WORD = /^[\x21-\x7e]{1,255}$/

export function createInbox(deps: InboxDeps): Inbox {
  const { store, sources } = deps
  const providers = new Map([...sources].map(([name, { provider }]) => [name, provider]))
  return {
    ...createWorker({ ...deps, providers }),
    async receive(name, raw) {
      const source = sources.get(name)
      if (!source) throw notConfigured(name)
      const event = storable(source.provider.verifyAndParse(raw))
      await store.add({
        provider: name,
        event,
        body: raw.body,
        headers: keptOf(raw.headers),
        ignored: foreignMode(event, source),
      })
    },
  }
}

const notConfigured = (name: ProviderName): AppError =>
  new AppError(
    'not_found',
    `Events of ${name} are not taken here: ${name.toUpperCase()}_WEBHOOK_SECRET is not set`,
  )

function storable(event: ProviderEvent): ProviderEvent {
  if (!WORD.test(event.id) || !WORD.test(event.type) || !isInstant(event.createdAtMs)) {
    throw new AppError('invalid_request', 'The body is not an event: id, type or time is wrong')
  }
  const { objectId } = event
  return { ...event, objectId: objectId !== null && WORD.test(objectId) ? objectId : null }
}

/** Of a year that has four digits. */
const LATEST_MS = Date.parse('9999-12-31T23:59:59.999Z')

const isInstant = (ms: number): boolean => ms >= 0 && ms <= LATEST_MS

/** Play money must not become credits, nor the reverse. */
function foreignMode({ isLive }: ProviderEvent, source: WebhookSource): string | null {
  if (source.isLive === null || source.isLive === isLive) return null
  return isLive
    ? 'an event of live mode, and this deployment has a key of test mode'
    : 'an event of test mode, and this deployment has a key of live mode'
}

function keptOf(headers: RawEvent['headers']): Record<string, string> {
  const kept = KEPT_HEADERS.flatMap((name) => {
    const value = headers[name]
    return typeof value === 'string' ? [[name, value.slice(0, MAX_HEADER_LENGTH)]] : []
  })
  return Object.fromEntries(kept)
}
