import { z } from 'zod'

const version = z.string().meta({ description: 'The version of the service.' })

export const liveness = z
  .object({ status: z.literal('ok'), version })
  .meta({ id: 'Liveness', examples: [{ status: 'ok', version: '0.1.0' }] })

const check = z.object({ status: z.enum(['ok', 'failed']), latencyMs: z.number() })

const readinessOf = <const S extends readonly string[]>(statuses: S) =>
  z.object({ status: z.enum(statuses), version, checks: z.record(z.string(), check) })

export const ready = readinessOf(['ok', 'degraded']).meta({
  id: 'Ready',
  description: 'Work is taken; `degraded`: something is amiss, and yet every call is served.',
  examples: [
    { status: 'ok', version: '0.1.0', checks: { database: { status: 'ok', latencyMs: 0.8 } } },
  ],
})

export const notReady = readinessOf(['unavailable', 'stopping']).meta({
  id: 'NotReady',
  description: 'No work is taken: something vital is missing, or the service is stopping.',
  examples: [
    {
      status: 'unavailable',
      version: '0.1.0',
      checks: { database: { status: 'failed', latencyMs: 2000 } },
    },
  ],
})
