import { createHash } from 'node:crypto'
import { Cluster } from 'ioredis'
import type { RedisClient } from './connection.js'

export type Script = { readonly lua: string; readonly sha: string }

/** What every script begins with: the server's time, so that all processes go by one clock. */
const CLOCK = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

/** A script that reads the server's time as \`now\`, in ms. */
export const defineScript = (body: string): Script => {
  const lua = `${CLOCK}${body}`
  return { lua, sha: createHash('sha1').update(lua).digest('hex') }
}

/** Runs a script over one key; sends its text only where the server does not know it yet. */
export const runScript = async (
  client: RedisClient,
  { lua, sha }: Script,
  key: string,
  args: readonly (string | number)[],
): Promise<unknown> => {
  try {
    return await client.evalsha(sha, 1, key, ...args)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return client.eval(lua, 1, key, ...args)
  }
}

/** One of many runs of a script. */
export type ScriptRun = {
  readonly script: Script
  readonly key: string
  readonly args: readonly (string | number)[]
}

/** Many in one round trip; the keys of a cluster are spread, so there each goes its own way. */
export const runScripts = async (
  client: RedisClient,
  runs: readonly ScriptRun[],
): Promise<readonly unknown[]> => {
  const alone = ({ script, key, args }: ScriptRun) => runScript(client, script, key, args)
  if (client instanceof Cluster) return Promise.all(runs.map(alone))
  const pipeline = client.pipeline()
  for (const { script, key, args } of runs) pipeline.evalsha(script.sha, 1, key, ...args)
  const replies = (await pipeline.exec()) ?? []
  return Promise.all(
    runs.map((run, index) => {
      const [error, value] = replies[index] ?? [new Error('there was no reply')]
      if (error === null) return value
      if (error.message.startsWith('NOSCRIPT')) return alone(run)
      throw error
    }),
  )
}
