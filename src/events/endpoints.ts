import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import type { Database } from '../db/open.js'
import { type Beside, inTransaction, type Transaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { isoOf } from '../http/schema.js'
import { invalidField } from '../http/validator.js'
import type { EndpointBody, EndpointView, NewEndpointView } from './schema.js'
import { newSecret } from './signature.js'
import { webhookEndpoints as table } from './tables.js'
import { type TargetRules, targetOf } from './target.js'

/** Every event is sent to each of them: receivers beyond that are served by one of their own. */
export const MAX_ENDPOINTS = 20
/** How long the secret before signs too, so that receivers can be changed one by one. */
const ROTATION_MS = 24 * 3_600_000
/** Changes of endpoints are rare and short. */
const DEADLINE_MS = 5_000

export type EndpointsDeps = {
  readonly db: Pick<Database, 'orm' | 'readOrm' | 'pool'>
  readonly newId: () => string
  /** Cryptographically random. */
  readonly randomBytes: (size: number) => Buffer
  /** Ms since the epoch. */
  readonly now: () => number
  readonly target: TargetRules
}

/**
 * Where events are sent to. `beside` joins the transaction of a change. What names an endpoint that
 * is not there throws `webhook_endpoint_not_found`.
 */
export type Endpoints = {
  /** Oldest first; there are few. */
  list(): Promise<readonly EndpointView[]>
  get(id: string): Promise<EndpointView>
  /**
   * Makes one, which is sent what happens from then on; the reply alone ever holds its secret.
   * Throws `invalid_request` for a URL that nothing may be sent to, `limit_exceeded` beyond 20, and
   * `outcome_unknown` when it may have been made.
   */
  create(body: EndpointBody, beside: Beside<NewEndpointView>): Promise<NewEndpointView>
  /** A new secret, at once; for a day the one before signs too, and none before that. */
  rotate(id: string, beside: Beside<NewEndpointView>): Promise<NewEndpointView>
  /**
   * Switches it on; what was waiting is sent. Without effect on one that is on: safe to repeat.
   */
  enable(id: string, beside: Beside<EndpointView>): Promise<EndpointView>
  /** Nothing more is sent to it, and it is gone; gives what it was. */
  remove(id: string, beside: Beside<EndpointView>): Promise<EndpointView>
}

export function createEndpoints(deps: EndpointsDeps): Endpoints {
  const { db, now } = deps
  const isLive = isNull(table.deletedAt)

  /** Sets what is given on one endpoint that is there. */
  async function change<T>(
    id: string,
    set: (row: EndpointRow) => Partial<EndpointRow>,
    viewOfRow: (row: EndpointRow) => T,
    { beside, isRepeatable }: { beside: Beside<T>; isRepeatable: boolean },
  ): Promise<T> {
    const act = async (tx: Transaction) => {
      const of = and(eq(table.id, id), isLive)
      const [row] = await tx.select().from(table).where(of).for('no key update')
      if (!row) throw notFound()
      const changes = set(row)
      if (Object.keys(changes).length > 0) await tx.update(table).set(changes).where(of)
      const view = viewOfRow({ ...row, ...changes })
      await beside(tx, view)
      return view
    }
    return inTransaction(db, act, { deadlineMs: DEADLINE_MS, isRepeatable })
  }

  return {
    async list() {
      const rows = await db.readOrm
        .select()
        .from(table)
        .where(isLive)
        .orderBy(asc(table.createdAt), asc(table.id))
      return rows.map(viewOf)
    },

    async get(id) {
      const [row] = await db.readOrm
        .select()
        .from(table)
        .where(and(eq(table.id, id), isLive))
      if (!row) throw notFound()
      return viewOf(row)
    },

    async create(body, beside) {
      const target = targetOf(body.url, deps.target)
      if ('fault' in target) throw invalidField('url', target.fault)
      const act = async (tx: Transaction) => {
        const made = viewWithSecret(await insert(tx, { ...body, url: target.url }, deps))
        await beside(tx, made)
        return made
      }
      // after a commit whose reply was lost, another attempt would make another one
      return inTransaction(db, act, { deadlineMs: DEADLINE_MS, isRepeatable: false })
    },

    rotate: (id, beside) =>
      change(
        id,
        ({ secret }) => ({
          secret: newSecret(deps.randomBytes),
          oldSecret: secret,
          oldSecretEndsAt: new Date(now() + ROTATION_MS),
        }),
        viewWithSecret,
        { beside, isRepeatable: false },
      ),

    enable: (id, beside) =>
      change(id, ({ enabled }) => (enabled ? {} : ON), viewOf, { beside, isRepeatable: true }),

    remove: (id, beside) =>
      change(id, () => ({ enabled: false, deletedAt: new Date(now()) }), viewOf, {
        beside,
        isRepeatable: false,
      }),
  }
}

type EndpointRow = typeof table.$inferSelect

const ON = {
  enabled: true,
  disabledAt: null,
  disabledReason: null,
  failingSince: null,
  pausedUntil: null,
} as const

async function insert(
  tx: Transaction,
  { url, types, description }: EndpointBody,
  { newId, randomBytes, now }: EndpointsDeps,
): Promise<EndpointRow> {
  // two at once must not both be the twentieth
  await tx.execute(sql`lock table ${table} in share row exclusive mode`)
  const count = await tx.$count(table, isNull(table.deletedAt))
  if (count >= MAX_ENDPOINTS) {
    const message = `There are at most ${MAX_ENDPOINTS} webhook endpoints: delete one first`
    throw new AppError('limit_exceeded', message, { limit: MAX_ENDPOINTS })
  }
  const [row] = await tx
    .insert(table)
    .values({
      id: newId(),
      createdAt: new Date(now()),
      url,
      types: types ? [...new Set(types)] : null,
      description: description ?? null,
      secret: newSecret(randomBytes),
      enabled: true,
    })
    .returning()
  if (!row) throw new Error('the new endpoint is not there')
  return row
}

const viewOf = (row: EndpointRow): EndpointView => ({
  id: row.id,
  url: row.url,
  types: row.types,
  description: row.description,
  enabled: row.enabled,
  disabledAt: isoOf(row.disabledAt?.getTime() ?? null),
  disabledReason: row.disabledReason,
  failingSince: isoOf(row.failingSince?.getTime() ?? null),
  lastDeliveredAt: isoOf(row.lastDeliveredAt?.getTime() ?? null),
  lastFailure:
    row.lastFailedAt === null
      ? null
      : {
          at: isoOf(row.lastFailedAt.getTime()),
          status: row.lastStatus,
          error: row.lastError ?? '',
        },
  previousSecretEndsAt: isoOf(row.oldSecretEndsAt?.getTime() ?? null),
  createdAt: isoOf(row.createdAt.getTime()),
})

const viewWithSecret = (row: EndpointRow): NewEndpointView => ({
  ...viewOf(row),
  secret: row.secret,
})

const notFound = (): AppError =>
  new AppError('webhook_endpoint_not_found', 'There is no such webhook endpoint')
