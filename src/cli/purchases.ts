import { defineCommand } from 'citty'
import { withLedger } from '../compose-command.js'
import { lookAtProvidersOnce } from '../compose-provider-reconcile.js'
import { DatabaseSetupError } from '../db/setup-error.js'
import type { ProviderReport } from '../purchases/reconcile.js'
import { command, json, show } from './command.js'

const reconcileCommand = command(
  'Make up for lost events of the payment providers; exits with 1 unless all is looked at and fits',
  {
    since: {
      type: 'string',
      description: 'From this day or moment on, in ISO 8601; else a day before the last time',
    },
    json,
  },
  async ({ args, config }) => {
    const sinceMs = sinceIn(args.since)
    const providers = await withLedger(config, (db, ledger, log) =>
      lookAtProvidersOnce({ config, db, ledger, log }, sinceMs),
    )
    const isWell = providers.every(({ error, refused }) => error === null && refused === 0)
    const lines = providers.map(lineOf)
    const nobody = 'nobody to ask: neither STRIPE_SECRET_KEY nor CREEM_API_KEY is set'
    show({ ok: isWell, providers }, lines.length > 0 ? lines : [nobody], args.json)
    return isWell
  },
)

export const purchasesCommand = defineCommand({
  meta: { description: 'Purchases and their payments' },
  subCommands: { reconcile: reconcileCommand },
})

const ISO = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/

/** A day alone begins at midnight, UTC. */
const sinceIn = (text: string | undefined): number | null => {
  if (text === undefined) return null
  const ms = ISO.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms) || ms > Date.now()) {
    throw new DatabaseSetupError('--since must be a day or moment of the past, such as 2026-03-31')
  }
  return ms
}

const lineOf = ({ provider, lookedAt, repaired, refused, parked, error }: ProviderReport) =>
  `${provider.padEnd(8)}${lookedAt} looked at, ${repaired} repaired, ${refused} refused, ` +
  `${parked} parked${error === null ? '' : `; FAILED: ${error}`}`
