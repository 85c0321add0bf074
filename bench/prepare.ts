import { FUNDS } from './funds.js'
import { accountName, HOT_ACCOUNT } from './load/requests.js'

/** Opened at once; the service collects them into batches. */
const CONCURRENCY = 64
const GRANTS_PER_CALL = 500

export type Api = { readonly port: number; readonly apiKey: string }

/**
 * Opens the accounts and gives each what a customer's has: credits of this month, which pay first,
 * and bought ones.
 */
export async function prepareAccounts(api: Api, count: number): Promise<void> {
  const ids = [HOT_ACCOUNT, ...Array.from({ length: count }, (_, n) => accountName(n))]
  const queue = ids.values()
  const openAll = async () => {
    for (const id of queue) await call(api, 'PUT', `/v1/accounts/${id}`, {})
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, openAll))
  const grants = ids.flatMap((accountId) => [
    { type: 'grant', accountId, amount: FUNDS, source: 'monthly' },
    { type: 'grant', accountId, amount: FUNDS, source: 'purchased' },
  ])
  for (let at = 0; at < grants.length; at += GRANTS_PER_CALL) {
    const operations = grants.slice(at, at + GRANTS_PER_CALL)
    const { outcomes } = await call(api, 'POST', '/v1/operations', { operations })
    const refused = (outcomes as { status: number }[]).find(({ status }) => status !== 201)
    if (refused) throw new Error(`a grant was refused: ${JSON.stringify(refused)}`)
  }
}

async function call(
  { port, apiKey }: Api,
  method: string,
  path: string,
  body: unknown,
): Promise<Record<string, unknown>> {
  const reply = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await reply.text()
  if (!reply.ok) throw new Error(`${method} ${path} was answered ${reply.status}: ${text}`)
  return JSON.parse(text) as Record<string, unknown>
}
