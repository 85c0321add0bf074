import type pg from 'pg'
import { isConnectionLost, READ_ONLY_STATE, sqlStateOf } from '../db/errors.js'
import { AppError } from '../errors.js'
import {
  type AppendReply,
  type Batch,
  type FailureKind,
  type LedgerPort,
  type LoadReply,
  type LoadRequest,
  PortError,
  type RefusalReason,
} from './port.js'
import { appendParameters, idsOf, loadParameters, loadReply, type StoredReply } from './wire.js'

/** How long one account's row lock is waited for. */
const ROW_LOCK_TIMEOUT_MS = 250

const parameters = (count: number): string =>
  Array.from({ length: count }, (_, i) => `$${i + 1}`).join(', ')

const APPEND = {
  name: 'ledger_append',
  text: `select * from ledger_append(${parameters(13)})`,
}
const LOAD = { name: 'ledger_load', text: `select ledger_load(${parameters(5)}) as reply` }
const BEGIN = { text: `begin; set local lock_timeout = ${ROW_LOCK_TIMEOUT_MS}` }
const LOCK = { name: 'ledger_lock', text: 'select ledger_lock($1)' }
const FENCE = { name: 'ledger_fence', text: 'select ledger_fence($1)' }

type AppendRow = {
  readonly status: AppendReply['status']
  readonly refused: readonly string[]
  readonly reasons: readonly RefusalReason[]
  readonly now_ms: number
}

/** The ledger on PostgreSQL. The pool is its own, so that nobody's reads keep a charge waiting. */
export function createWriter(pool: pg.Pool): LedgerPort {
  const onClient = async <T>(
    work: (client: pg.PoolClient) => Promise<T>,
    isUsable: (error: unknown) => boolean = wasAnswered,
  ): Promise<T> => {
    const client = await connect(pool)
    try {
      const result = await work(client)
      client.release()
      return result
    } catch (error) {
      // What may be in an unknown state leaves the pool.
      client.release(!isUsable(error))
      throw error
    }
  }

  return {
    load: (request) => onClient((client) => load(client, request)),
    append: (batch) => onClient((client) => append(client, batch)),
    fence: (accountIds) =>
      onClient(async (client) => {
        await send(client, { ...FENCE, values: [idsOf(accountIds)] })
      }),
    // a failure leaves a transaction open
    alone: (request, decide) =>
      onClient(
        (client) => alone(client, request, decide),
        () => false,
      ),
  }
}

/** The server refused a statement that stood alone, and is ready for the next. */
const wasAnswered = (error: unknown): boolean =>
  error instanceof PortError && error.kind !== 'unknown'

async function load(client: pg.PoolClient, request: LoadRequest): Promise<LoadReply> {
  const query = { ...LOAD, values: loadParameters(request) }
  const { rows } = await send<{ reply: StoredReply | null }>(client, query)
  const reply = rows[0]?.reply
  if (!reply) throw new PortError('failed', 'the control row is missing')
  return loadReply(reply)
}

async function append(client: pg.PoolClient, batch: Batch): Promise<AppendReply> {
  const { rows } = await send<AppendRow>(client, { ...APPEND, values: appendParameters(batch) })
  const [row] = rows
  if (!row) throw new Error('ledger_append gave no answer')
  const refused = new Map(row.refused.map((id, i) => [id, row.reasons[i] ?? 'moved']))
  return { status: row.status, nowMs: row.now_ms, refused }
}

async function alone(
  client: pg.PoolClient,
  request: LoadRequest,
  decide: (loaded: LoadReply) => Batch | null,
): Promise<AppendReply | null> {
  await send(client, BEGIN)
  await send(client, { ...LOCK, values: [idsOf(request.accounts)] })
  const batch = decide(await load(client, request))
  const reply = batch && (await append(client, batch))
  await send(client, { text: 'commit' })
  return reply
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    // Nothing was sent, whatever the reason.
    const isFinal = error instanceof AppError || sqlStateOf(error) === READ_ONLY_STATE
    throw new PortError(isFinal ? 'unavailable' : 'retry', 'no connection', error)
  }
}

async function send<R extends pg.QueryResultRow = pg.QueryResultRow>(
  client: pg.PoolClient,
  query: pg.QueryConfig,
): Promise<pg.QueryResult<R>> {
  try {
    return await client.query<R>(query)
  } catch (error) {
    const kind = failureKind(error)
    throw new PortError(kind, `the database answered with ${sqlStateOf(error) ?? 'nothing'}`, error)
  }
}

/** What a failed statement tells about its effect. A connection lost late may have committed. */
function failureKind(error: unknown): FailureKind {
  const state = sqlStateOf(error)
  if (state === null) return isConnectionLost(error) ? 'unknown' : 'data'
  if (isConnectionLost(error) || state.startsWith('57')) return 'unknown'
  if (state === '55P03') return 'locked'
  if (state === '40001' || state === '40P01') return 'retry'
  if (state === READ_ONLY_STATE || state.startsWith('53')) return 'unavailable'
  return /^2[23]/.test(state) ? 'data' : 'failed'
}
