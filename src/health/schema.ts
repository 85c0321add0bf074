import { z } from 'zod'

const version = z.string().meta({ description: 'The version of the service.' })

const rollbackMode = z
  .boolean()
  .meta({ description: 'Whether `ROLLBACK_MODE` forces v1 of the credit system.' })

export const liveness = z.object({ status: z.literal('ok'), version, rollbackMode }).meta({
  id: 'Liveness',
  examples: [{ status: 'ok', version: '0.1.0', rollbackMode: false }],
})

const check = z.object({ status: z.enum(['ok', 'failed']), latencyMs: z.number() })

const readinessOf = <const S extends readonly string[]>(statuses: S) =>
  z.object({ status: z.enum(statuses), version, rollbackMode, checks: z.record(z.string(), check) })

export const ready = readinessOf(['ok', 'degraded']).meta({
  id: 'Ready',
  description: 'Work is taken; `degraded`: something is amiss, and yet every call is served.',
  examples: [
    {
      status: 'ok',
      version: '0.1.0',
      rollbackMode: false,
      checks: { database: { status: 'ok', latencyMs: 0.8 } },
    },
  ],
})

export const notReady = readinessOf(['unavailable', 'stopping']).meta({
  id: 'NotReady',
  description: 'No work is taken: something vital is missing, or the service is stopping.',
  examples: [
    {
      status: 'unavailable',
      version: '0.1.0',
      rollbackMode: false,
      checks: { database: { status: 'failed', latencyMs: 2000 } },
    },
  ],
})

const role = z.object({
  configured: z.boolean(),
  connected: z.boolean(),
  variable: z.string().nullable().meta({ description: 'The setting that says where it is.' }),
  latencyMs: z.number().nullable(),
  reason: z.string().nullable().meta({ description: 'Why it is of no use for now.' }),
})

const NO_ROLE = {
  configured: false,
  connected: false,
  variable: null,
  latencyMs: null,
  reason: null,
}

export const redis = z
  .object({
    status: z.enum(['ok', 'degraded', 'not_configured']),
    configured: z.boolean(),
    connected: z.boolean().meta({ description: 'Whether all that is configured answers.' }),
    roles: z.object({ main: role, cache: role, session: role }),
    memory: z
      .object({ usedBytes: z.number(), maxBytes: z.number().nullable() })
      .nullable()
      .meta({ description: 'Of all servers together; `maxBytes` null: no limit.' }),
    hits: z.number().nullable(),
    misses: z.number().nullable(),
    evictions: z.number().nullable(),
    errorRate: z.number().meta({ description: "Of this process's last minutes, 0 to 1." }),
  })
  .meta({
    id: 'RedisHealth',
    examples: [
      {
        status: 'not_configured',
        configured: false,
        connected: false,
        roles: { main: NO_ROLE, cache: NO_ROLE, session: NO_ROLE },
        memory: null,
        hits: null,
        misses: null,
        evictions: null,
        errorRate: 0,
      },
    ],
  })
