import { type CommandCount, readCommandCount } from './command-count.js'
import { DeadlineError } from './deadline.js'
import type { Link } from './link.js'
import type { Links } from './open.js'
import { reasonOf } from './reason.js'
import { readServerInfo, type ServerInfo } from './server-info.js'
import { REDIS_ROLES, type RedisRole } from './urls.js'

export type RoleHealth = {
  readonly configured: boolean
  readonly connected: boolean
  /** The variable that says where it is. */
  readonly variable: string | null
  /** Of one command, just now. */
  readonly latencyMs: number | null
  /** Why it is of no use; null when it is, or is not configured. */
  readonly reason: string | null
}

export type RedisHealth = {
  readonly status: 'ok' | 'degraded' | 'not_configured'
  readonly configured: boolean
  /** Whether all that is configured answers. */
  readonly connected: boolean
  readonly roles: Readonly<Record<RedisRole, RoleHealth>>
  /** Of all servers together; null when none could be asked. */
  readonly memory: { readonly usedBytes: number; readonly maxBytes: number | null } | null
  readonly hits: number | null
  readonly misses: number | null
  readonly evictions: number | null
  /** Of this process's commands of the last minutes, 0 to 1. */
  readonly errorRate: number
}

export type RedisMetrics = {
  readonly commandsToday: number
  readonly commandsThisMonth: number
  readonly usedBytes: number
  readonly budget: {
    readonly commandsPerMonth: number
    readonly bytes: number
    /** Of the month's commands and of the memory that are used, 0 and up. */
    readonly commandsShare: number
    readonly bytesShare: number
  }
}

export type RedisReports = {
  /** How Redis is; answers within two seconds, whatever hangs, and tells no credential. */
  checkHealth(): Promise<RedisHealth>
  /** What it is used for, beside what may be used; what can not be asked counts as 0. */
  getMetrics(): Promise<RedisMetrics>
}

export type RedisReportsDeps = {
  readonly links: Links
  readonly keyPrefix: string
  readonly budget: { readonly commandsPerMonth: number; readonly bytes: number }
  readonly nowMs: () => number
  readonly monotonicMs: () => number
}

const ASK_TIMEOUT_MS = 900
/** Anybody may ask how we are: Redis is not asked more often for that. */
const FRESH_MS = 1_000

export const createRedisReports = (deps: RedisReportsDeps): RedisReports => {
  const { links, budget, monotonicMs } = deps
  let last: { readonly atMs: number; readonly health: Promise<RedisHealth> } | null = null
  return {
    checkHealth() {
      if (last === null || monotonicMs() - last.atMs >= FRESH_MS) {
        last = { atMs: monotonicMs(), health: lookAt(links, monotonicMs) }
      }
      return last.health
    },
    async getMetrics() {
      const used = await Promise.all(distinct(links).map((link) => usageOf(link, deps)))
      const sum = (figureOf: (one: CommandCount & { usedBytes: number }) => number) =>
        used.reduce((total, one) => total + figureOf(one), 0)
      const [thisMonth, usedBytes] = [sum((one) => one.thisMonth), sum((one) => one.usedBytes)]
      return {
        commandsToday: sum(({ today }) => today),
        commandsThisMonth: thisMonth,
        usedBytes,
        budget: {
          ...budget,
          commandsShare: thisMonth / budget.commandsPerMonth,
          bytesShare: usedBytes / budget.bytes,
        },
      }
    },
  }
}

/** Roles may share one. */
export const distinct = (links: Links): readonly Link[] => [
  ...new Set(REDIS_ROLES.flatMap((role) => links[role] ?? [])),
]

const usageOf = async (link: Link, deps: RedisReportsDeps) => {
  if (!link.isUp()) return { today: 0, thisMonth: 0, usedBytes: 0 }
  const [count, info] = await Promise.all([
    readCommandCount({ ...deps, link }).catch(() => ({ today: 0, thisMonth: 0 })),
    readServerInfo(link, ASK_TIMEOUT_MS).catch(() => null),
  ])
  return { ...count, usedBytes: info?.usedBytes ?? 0 }
}

type Look = { readonly latencyMs: number | null; readonly info: ServerInfo | null }

const lookAt = async (links: Links, monotonicMs: () => number): Promise<RedisHealth> => {
  const all = distinct(links)
  const looks = new Map(
    await Promise.all(all.map(async (link) => [link, await lookAtOne(link, monotonicMs)] as const)),
  )
  const infos = [...looks.values()].flatMap(({ info }) => info ?? [])
  const connected = all.length > 0 && all.every((link) => isWell(link, looks.get(link)))
  const sum = (figureOf: (info: ServerInfo) => number) =>
    infos.length === 0 ? null : infos.reduce((total, info) => total + figureOf(info), 0)
  return {
    status: all.length === 0 ? 'not_configured' : connected ? 'ok' : 'degraded',
    configured: all.length > 0,
    connected,
    roles: rolesOf(links, looks),
    memory: memoryOf(infos),
    hits: sum(({ hits }) => hits),
    misses: sum(({ misses }) => misses),
    evictions: sum(({ evictions }) => evictions),
    errorRate: Math.max(0, ...all.map((link) => link.figures().errorRate)),
  }
}

/** One that is away is not asked: whoever asks how we are must not wait for it. */
const lookAtOne = async (link: Link, monotonicMs: () => number): Promise<Look> => {
  if (!link.isUp()) return { latencyMs: null, info: null }
  try {
    const startedMs = monotonicMs()
    await link.attempt((client) => client.ping(), ASK_TIMEOUT_MS)
    const latencyMs = Math.round((monotonicMs() - startedMs) * 10) / 10
    return { latencyMs, info: await readServerInfo(link, ASK_TIMEOUT_MS).catch(() => null) }
  } catch {
    return { latencyMs: null, info: null }
  }
}

const isWell = (link: Link, look: Look | undefined): boolean =>
  link.isUp() && look !== undefined && look.latencyMs !== null

const rolesOf = (links: Links, looks: ReadonlyMap<Link, Look>): RedisHealth['roles'] => {
  const roleOf = (role: RedisRole): RoleHealth => {
    const link = links[role]
    if (link === null) {
      return { configured: false, connected: false, variable: null, latencyMs: null, reason: null }
    }
    const look = looks.get(link)
    const connected = isWell(link, look)
    const trouble = link.trouble() ?? new DeadlineError(ASK_TIMEOUT_MS)
    return {
      configured: true,
      connected,
      variable: link.target.variable,
      latencyMs: look?.latencyMs ?? null,
      reason: connected ? null : reasonOf(trouble),
    }
  }
  return { main: roleOf('main'), cache: roleOf('cache'), session: roleOf('session') }
}

const memoryOf = (infos: readonly ServerInfo[]): RedisHealth['memory'] => {
  if (infos.length === 0) return null
  const limits = infos.map(({ maxBytes }) => maxBytes)
  const maxBytes = limits.reduce((sum, one) => (sum === null || one === null ? null : sum + one))
  return { usedBytes: infos.reduce((sum, { usedBytes }) => sum + usedBytes, 0), maxBytes }
}
