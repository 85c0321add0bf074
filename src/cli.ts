#!/usr/bin/env node
// first, as the others load what looks at it
import './cli/colors.js'
import { existsSync } from 'node:fs'
import { defineCommand, runMain } from 'citty'
import { alertsCommand } from './cli/alerts.js'
import { command, json, show, yes } from './cli/command.js'
import { keysCommand } from './cli/keys.js'
import { plansCommand } from './cli/plans.js'
import { purchasesCommand } from './cli/purchases.js'
import { redisCheckCommand, redisHealthCommand, redisKeysCommand } from './cli/redis.js'
import { webhooksCommand } from './cli/webhooks.js'
import { withDatabase, withLedger } from './compose-command.js'
import { describeConfig } from './config.js'
import { migrateDown, migrateUp, migrationStatus } from './db/migrate.js'
import { DatabaseSetupError } from './db/setup-error.js'
import { explain } from './explain.js'
import { verify } from './ledger/verify.js'
import { CAMPAIGN_ARGS, campaignOf } from './operations/campaign.js'
import { checkDatabase, type Finding } from './operations/check-database.js'
import { countAccounts, describeReport, grantExisting } from './operations/grant-existing.js'
import { createProgressBar } from './operations/progress-bar.js'
import { resetDatabase } from './operations/reset-database.js'
import { VERSION } from './version.js'

const configCommand = command(
  'Print the effective settings, without secrets',
  { json },
  async ({ args, config }) => {
    const settings = describeConfig(config, process.env)
    const width = Math.max(...settings.map(({ name }) => name.length))
    const lines = settings.map(({ name, value, isSet }) =>
      `${name.padEnd(width)}  ${value}${isSet ? '' : '  (default)'}`.trimEnd(),
    )
    const values = Object.fromEntries(settings.map(({ name, value }) => [name, value]))
    show(values, lines, args.json)
    return true
  },
)

const MARKS: Record<Finding['status'], string> = {
  ok: 'ok     ',
  warning: 'WARNING',
  failed: 'FAILED ',
}

const checkCommand = command(
  'Look whether the database is all that the service needs',
  { json },
  async ({ args, config }) => {
    const poolSize = config.database.poolSize ?? config.database.defaultPoolSize
    const findings = await withDatabase(config, (db) =>
      checkDatabase(db, { poolSize, nowMs: Date.now() }),
    ).catch((error): Finding[] => [
      { check: 'connection', status: 'failed', detail: explain(error) },
    ])
    const isWell = findings.every(({ status }) => status !== 'failed')
    const lines = findings.map(
      ({ check, status, detail }) => `${MARKS[status]}  ${check.padEnd(12)}  ${detail}`,
    )
    show({ ok: isWell, checks: findings }, lines, args.json)
    return isWell
  },
)

const migrateCommand = command(
  'Apply the pending migrations',
  { json },
  async ({ args, config }) => {
    const applied = await withDatabase(config, (db) => migrateUp(db), { mayCreate: true })
    const lines = applied.map((tag) => `applied ${tag}`)
    show({ applied }, lines.length > 0 ? lines : ['nothing to do'], args.json)
    return true
  },
)

const statusCommand = command(
  'List the migrations; exits with 1 unless all are applied',
  { json },
  async ({ args, config }) => {
    const migrations = await withDatabase(config, (db) => migrationStatus(db))
    const lines = migrations.map(
      ({ tag, state, hasWayBack }) =>
        `${state.padEnd(8)} ${tag}${hasWayBack ? '' : '  (no way back)'}`,
    )
    show({ migrations }, lines, args.json)
    return migrations.every(({ state }) => state === 'applied')
  },
)

const downCommand = command(
  'Take the newest migrations back',
  { steps: { type: 'string', description: 'How many', default: '1' }, yes, json },
  async ({ args, config }) => {
    if (!/^[1-9]\d{0,3}$/.test(args.steps)) {
      throw new DatabaseSetupError('--steps must be a whole number from 1')
    }
    if (!args.yes) throw new DatabaseSetupError('this may take data away: say --yes')
    const steps = Number(args.steps)
    const takenBack = await withDatabase(config, (db) => migrateDown(db, { steps }))
    const lines = takenBack.map((tag) => `took back ${tag}`)
    show({ takenBack }, lines.length > 0 ? lines : ['nothing to take back'], args.json)
    return true
  },
)

const resetCommand = command(
  'Drop everything and begin with an empty database; never in production',
  { yes, json },
  async ({ args, config }) => {
    if (config.isProduction) throw new DatabaseSetupError('db:reset is refused in production')
    if (!args.yes) throw new DatabaseSetupError('this drops all data: say --yes')
    const applied = await withDatabase(config, resetDatabase)
    show({ applied }, [`reset: ${applied.length} migrations applied`], args.json)
    return true
  },
)

const reconcileCommand = command(
  'Compare the books of every account with themselves; exits with 1 if anything differs',
  { account: { type: 'string', description: 'Of this account only' }, json },
  async ({ args, config }) => {
    const found = await withDatabase(config, (db) => verify(db.reader, args.account ?? null))
    const lines = found.mismatches.map(
      ({ accountId, check, expected, actual }) =>
        `${accountId}: ${check}: expected ${expected}, is ${actual}`,
    )
    const summary = `${found.accounts} accounts, ${found.mismatches.length} mismatches`
    show(found, [...lines, summary], args.json)
    return found.mismatches.length === 0
  },
)

const grantExistingCommand = command(
  'Grant credits to every account there is, each once; exits with 1 if any failed',
  {
    ...CAMPAIGN_ARGS,
    'dry-run': { type: 'boolean', description: 'Only tell what would be granted' },
    json,
  },
  async ({ args, config }) => {
    const campaign = campaignOf(args)
    const isDryRun = args['dry-run'] === true
    const report = await withLedger(config, async (db, ledger) => {
      const { pool } = db
      const total = await countAccounts(pool)
      const bar = createProgressBar(process.stderr, { total, isShown: !args.json })
      const onProgress = ({ accounts }: { accounts: number }) => bar.update(accounts)
      const deps = { pool, ledger, isDryRun, onProgress }
      return grantExisting(deps, campaign).finally(bar.stop)
    })
    show({ name: campaign.name, isDryRun, ...report }, describeReport(report, isDryRun), args.json)
    return report.failed === 0
  },
)

const main = defineCommand({
  meta: { name: 'creditd', version: VERSION, description: 'The credits back end, for operators' },
  subCommands: {
    config: configCommand,
    'db:check': checkCommand,
    'db:migrate': migrateCommand,
    'db:status': statusCommand,
    'db:down': downCommand,
    'db:reset': resetCommand,
    reconcile: reconcileCommand,
    'alerts:check': alertsCommand,
    'grant-existing': grantExistingCommand,
    keys: keysCommand,
    plans: plansCommand,
    purchases: purchasesCommand,
    webhooks: webhooksCommand,
    'redis:check': redisCheckCommand,
    'redis:health': redisHealthCommand,
    'redis:keys': redisKeysCommand,
  },
})

if (existsSync('.env')) process.loadEnvFile('.env')
await runMain(main)
