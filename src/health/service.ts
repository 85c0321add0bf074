import type { RedisHealth, RedisReports } from '../stores/redis-health.js'

/** Whoever asks how we are is answered within this time, whatever hangs. */
const DEADLINE_MS = 2_000

export type Check = {
  readonly name: string
  /** Whether the service can not serve without it. */
  readonly isVital: boolean
  /** Ends well when all is well; throws otherwise. */
  readonly probe: () => Promise<unknown>
}

export type HealthDeps = {
  readonly redis: RedisReports
  readonly checks: readonly Check[]
  readonly version: string
  /** Whether v1 of the credit system is forced. */
  readonly rollbackMode: boolean
  /** Whether the service has been told to stop: then it takes no new work. */
  readonly isStopping: () => boolean
  /** A monotonic clock in ms. */
  readonly monotonicMs: () => number
}

export type CheckResult = { readonly status: 'ok' | 'failed'; readonly latencyMs: number }
export type Readiness = {
  /** `degraded`: something is amiss, and yet every call is served. */
  readonly status: 'ok' | 'degraded' | 'unavailable' | 'stopping'
  readonly version: string
  readonly rollbackMode: boolean
  readonly checks: Readonly<Record<string, CheckResult>>
}

export type Health = {
  live(): Pick<Readiness, 'version' | 'rollbackMode'> & { readonly status: 'ok' }
  /** Whether work can be taken; asks everything it depends on, for at most 2 s. */
  ready(): Promise<Readiness>
  /** How Redis is; answers within 2 s. */
  redis(): Promise<RedisHealth>
}

export function createHealth(deps: HealthDeps): Health {
  const { checks, redis, version, rollbackMode, isStopping, monotonicMs } = deps
  async function run({ probe }: Check): Promise<CheckResult> {
    const startedMs = monotonicMs()
    const isWell = await withinDeadline(probe)
    const latencyMs = Math.round((monotonicMs() - startedMs) * 10) / 10
    return { status: isWell ? 'ok' : 'failed', latencyMs }
  }

  return {
    live: () => ({ status: 'ok', version, rollbackMode }),
    redis: redis.checkHealth,
    async ready() {
      if (isStopping()) return { status: 'stopping', version, rollbackMode, checks: {} }
      const results = await Promise.all(
        checks.map(async (check) => ({ check, result: await run(check) })),
      )
      const failed = results.filter(({ result }) => result.status === 'failed')
      const isVital = failed.some(({ check }) => check.isVital)
      const troubled = isVital ? 'unavailable' : 'degraded'
      return {
        status: failed.length === 0 ? 'ok' : troubled,
        version,
        rollbackMode,
        checks: Object.fromEntries(results.map(({ check, result }) => [check.name, result])),
      }
    },
  }
}

/** False when the probe fails or takes too long; then nobody waits for it any more. */
async function withinDeadline(probe: () => Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), DEADLINE_MS)
  })
  const probing = Promise.resolve()
    .then(probe)
    .then(
      () => true,
      () => false,
    )
  const isWell = await Promise.race([probing, deadline])
  clearTimeout(timer)
  return isWell
}
