import type { Link } from './link.js'

export type CommandCount = { readonly today: number; readonly thisMonth: number }

const FLUSH_EVERY_MS = 10_000
const TIMEOUT_MS = 1_000
/** The month after the one that is counted is over. */
const TTL_SECONDS = 62 * 86_400

export type CommandCountDeps = {
  readonly link: Link
  readonly keyPrefix: string
  readonly nowMs: () => number
}

/** One hash for each month in UTC, a field for each day. */
const keyOf = (keyPrefix: string, month: string): string => `${keyPrefix}commands:${month}`

const dateOf = (nowMs: number) => {
  const [date = ''] = new Date(nowMs).toISOString().split('T')
  return { month: date.slice(0, 7), day: date.slice(8) }
}

/** Adds what this process has asked of Redis to the count of the day; gives what ends that. */
export const keepCommandCount = ({ link, keyPrefix, nowMs }: CommandCountDeps): (() => void) => {
  let counted = 0
  const flush = async () => {
    const count = link.figures().commands - counted
    if (count === 0 || !link.isUp()) return
    counted += count
    const { month, day } = dateOf(nowMs())
    const key = keyOf(keyPrefix, month)
    await link.attempt(async (client) => {
      await client.hincrby(key, day, count)
      await client.expire(key, TTL_SECONDS)
    }, TIMEOUT_MS)
  }
  // a report that lacks a few seconds of counting is none the worse
  const timer = setInterval(() => void flush().catch(() => {}), FLUSH_EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** What all processes of this environment have asked of it. */
export const readCommandCount = async (deps: CommandCountDeps): Promise<CommandCount> => {
  const { link, keyPrefix, nowMs } = deps
  const { month, day } = dateOf(nowMs())
  const days = await link.attempt((client) => client.hgetall(keyOf(keyPrefix, month)), TIMEOUT_MS)
  return {
    today: Number(days[day] ?? 0),
    thisMonth: Object.values(days).reduce((sum, count) => sum + Number(count), 0),
  }
}
