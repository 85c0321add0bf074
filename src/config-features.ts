import type { Settings } from './settings.js'

/** A provider's API key, the secrets of its events (any may sign), and where it is. */
export type ProviderConfig = {
  /** null: its events are taken, but nothing is sold through it. */
  readonly apiKey: string | null
  readonly webhookSecrets: readonly string[]
  /** null: where it always is. */
  readonly apiUrl: string | null
}

export type FeatureConfig = {
  readonly features: {
    readonly creditSystem: {
      readonly version: 'v1' | 'v2'
      readonly enablePurchases: boolean
      readonly rollbackMode: boolean
    }
  }
  readonly payments: {
    readonly stripe: ProviderConfig
    readonly creem: ProviderConfig
    readonly disputeFreezesAccount: boolean
  }
  readonly events: {
    /** 0: never told. */
    readonly lowBalanceCredits: number
    readonly retentionDays: number
    readonly allowPrivate: boolean
  }
}

export const featuresOf = (settings: Settings): FeatureConfig => {
  const rollbackMode = settings.ROLLBACK_MODE
  const version = rollbackMode ? 'v1' : settings.CREDIT_SYSTEM_VERSION
  const enablePurchases = version === 'v1' && settings.ENABLE_CREDIT_PURCHASES
  return {
    features: { creditSystem: { version, enablePurchases, rollbackMode } },
    payments: {
      stripe: {
        apiKey: settings.STRIPE_SECRET_KEY ?? null,
        webhookSecrets: listOf(settings.STRIPE_WEBHOOK_SECRET),
        apiUrl: settings.STRIPE_API_URL ?? null,
      },
      creem: {
        apiKey: settings.CREEM_API_KEY ?? null,
        webhookSecrets: listOf(settings.CREEM_WEBHOOK_SECRET),
        apiUrl: settings.CREEM_API_URL ?? null,
      },
      disputeFreezesAccount: settings.DISPUTE_FREEZES_ACCOUNT,
    },
    events: {
      lowBalanceCredits: settings.LOW_BALANCE_CREDITS,
      retentionDays: settings.EVENT_RETENTION_DAYS,
      allowPrivate: settings.WEBHOOKS_ALLOW_PRIVATE,
    },
  }
}

const listOf = (text: string | undefined): readonly string[] =>
  (text ?? '').split(',').filter((secret) => secret !== '')

/** What must never be printed, of these. */
export const secretsOfFeatures = ({ payments: { stripe, creem } }: FeatureConfig) =>
  [stripe, creem].flatMap(({ apiKey, webhookSecrets }) => [
    ...(apiKey === null ? [] : [apiKey]),
    ...webhookSecrets,
  ])
