/**
 * The service's route of a charge without what is behind it: the same server, hooks, limits,
 * credential, validation and serializer, and a fixed reply. What the ledger costs is the rest.
 */
import { loadConfig } from '../src/config.js'
import { chargeRoutes } from '../src/credits/charges/routes.js'
import type { Charges } from '../src/credits/charges/service.js'
import type { Transaction } from '../src/credits/transaction.js'
import { createAuthenticator } from '../src/http/auth.js'
import { createMetrics } from '../src/http/metrics.js'
import { createHttpServer } from '../src/http/server.js'
import { createLog } from '../src/log.js'
import { createMemoryRateLimit } from '../src/stores/rate-limit/memory.js'

const TRANSACTION: Transaction = {
  transactionId: 'txn_MTc6dXNlci00Mg',
  accountId: 'user-42',
  seq: 17,
  type: 'charge',
  action: null,
  amount: -5,
  balanceBefore: 1_000_000_000_000,
  balanceAfter: 999_999_999_995,
  grants: [{ grantId: 'gr_Mzp1c2VyLTQy', source: 'purchased', amount: -5 }],
  metadata: null,
  createdAt: '2026-11-21T09:30:00.000Z',
}

const unused = (): never => {
  throw new Error('the empty server only charges')
}

const written = { transaction: TRANSACTION, isReplay: false }
const charges: Charges = {
  prepareCharge: unused,
  prepareRefund: unused,
  charge: async () => written,
  estimate: unused,
  refund: unused,
}

const configuredKey = process.env.CREDITD_API_KEY
if (!configuredKey) throw new Error('CREDITD_API_KEY is not set')
const metrics = createMetrics({ now: () => performance.now() })
const { limits } = loadConfig({})
const app = await createHttpServer({
  logger: createLog({ level: 'info', secrets: [configuredKey] }),
  authenticator: createAuthenticator({
    findKey: async () => null,
    touchSession: async () => null,
    configuredKey,
    now: () => performance.now(),
  }),
  audit: { record() {} },
  metrics,
  limits: {
    ...limits,
    store: createMemoryRateLimit({ nowMs: () => performance.now() }),
    note: metrics.noteLimit,
    nowMs: () => performance.now(),
  },
  trustProxy: false,
  serializer: 'fast',
  requestTimeoutMs: 10_000,
  requestIdPrefix: 'bench',
  openBudget: null,
  creditSystem: { version: 'v1', rollbackMode: false },
  version: '0',
})
await app.register(chargeRoutes, { charges })
app.get('/health', { config: { access: 'public', limit: null } }, async () => ({ status: 'ok' }))
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void app.close())
}
