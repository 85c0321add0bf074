import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { AuditSink } from '../http/audit.js'
import type { Once } from '../http/once.js'
import type { Ledger } from '../ledger/ledger.js'
import type { LedgerReads } from '../ledger/reads.js'
import type { Upkeep } from '../ledger/upkeep.js'
import type { CacheStore } from '../stores/cache/store.js'
import { createProfiles } from './accounts/profiles.js'
import { accountRoutes } from './accounts/routes.js'
import { type Accounts, createAccounts } from './accounts/service.js'
import { chargeRoutes } from './charges/routes.js'
import { type Charges, createCharges } from './charges/service.js'
import { correctionRoutes } from './corrections/routes.js'
import { type Corrections, createCorrections } from './corrections/service.js'
import { grantRoutes } from './grants/routes.js'
import { createGrants, type Grants } from './grants/service.js'
import { historyRoutes } from './history/routes.js'
import { createHistory, type History } from './history/service.js'
import { holdRoutes } from './holds/routes.js'
import { createHolds, type Holds } from './holds/service.js'
import { operationRoutes } from './operations/routes.js'
import { createOperations, type Operations } from './operations/service.js'
import { type Access, createAccess } from './prices/access.js'
import type { Catalogue } from './prices/catalogue.js'
import { priceRoutes } from './prices/routes.js'
import { tierRoutes } from './prices/tier-routes.js'
import { statusRoutes } from './status/routes.js'
import {
  type CreditStatus,
  createCreditStatus,
  type Flags,
  type RolloverOf,
} from './status/service.js'
import { createRefuseUnlessApplied } from './used-keys.js'

export type CreditsDeps = {
  readonly orm: NodePgDatabase
  /** For what only reads. */
  readonly readOrm: NodePgDatabase
  readonly ledger: Ledger
  readonly reads: LedgerReads
  readonly upkeep: Pick<Upkeep, 'finishTransfer'>
  readonly catalogue: Catalogue
  readonly audit: AuditSink
  readonly cache: CacheStore
  /** Whole credits that every new account begins with; 0: none. */
  readonly signupBonus: number
  readonly flags: Flags
  readonly rolloverOf: RolloverOf
  /** Told of every account that was closed, before its caller is. */
  readonly onClosed: (accountId: string) => Promise<unknown>
  /** An operation of a bulk call failed in a way we did not expect. */
  readonly onDefect: (error: unknown, requestId: string) => void
}

/** The services of this feature. */
export type Credits = {
  readonly catalogue: Catalogue
  readonly access: Access
  readonly accounts: Accounts
  readonly charges: Charges
  readonly grants: Grants
  readonly holds: Holds
  readonly corrections: Corrections
  readonly history: History
  readonly operations: Operations
  readonly status: CreditStatus
}

export function createCredits(deps: CreditsDeps): Credits {
  const refuseUnlessApplied = createRefuseUnlessApplied(deps.readOrm)
  const shared = { ...deps, refuseUnlessApplied, profiles: createProfiles(deps) }
  const charges = createCharges(shared)
  const grants = createGrants(shared)
  const holds = createHolds(shared)
  const corrections = createCorrections(shared)
  const accounts = createAccounts(shared)
  return {
    catalogue: deps.catalogue,
    access: createAccess(deps),
    accounts,
    charges,
    grants,
    holds,
    corrections,
    history: createHistory(shared),
    operations: createOperations({ ...shared, charges, grants, holds, corrections }),
    status: createCreditStatus({ ...shared, accounts }),
  }
}

export type CreditRoutesDeps = { readonly credits: Credits; readonly once: Once }

export const creditRoutes: FastifyPluginAsyncZod<CreditRoutesDeps> = async (app, deps) => {
  const services = { ...deps.credits, once: deps.once }
  await app.register(accountRoutes, services)
  await app.register(chargeRoutes, services)
  await app.register(grantRoutes, services)
  await app.register(holdRoutes, services)
  await app.register(correctionRoutes, services)
  await app.register(historyRoutes, services)
  await app.register(operationRoutes, services)
  await app.register(priceRoutes, services)
  await app.register(tierRoutes, services)
  await app.register(statusRoutes, services)
}
