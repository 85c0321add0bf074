/** From `startMs` until, but without, `endMs`; in ms since the epoch. */
export type Period = { readonly startMs: number; readonly endMs: number }

const AVERAGE_MONTH_MS = (365.2425 / 12) * 86_400_000

/**
 * The instant so many calendar months after an anchor, in UTC: the same day and time of day, the
 * day clamped to the month's last. 31 January: 28 February, 31 March.
 */
export function monthsAfter(anchorMs: number, months: number): number {
  const anchor = new Date(anchorMs)
  const year = anchor.getUTCFullYear()
  const month = anchor.getUTCMonth()
  const lastDay = new Date(Date.UTC(year, month + months + 1, 0)).getUTCDate()
  const midnightMs = Date.UTC(year, month, anchor.getUTCDate())
  const day = Math.min(anchor.getUTCDate(), lastDay)
  return Date.UTC(year, month + months, day) + (anchorMs - midnightMs)
}

/** The month between two anniversaries of the anchor that an instant lies in. */
export function monthAt(anchorMs: number, atMs: number): Period {
  let months = Math.floor((atMs - anchorMs) / AVERAGE_MONTH_MS)
  // the average is off by two days at most, so these take a step or two
  while (monthsAfter(anchorMs, months) > atMs) months -= 1
  while (monthsAfter(anchorMs, months + 1) <= atMs) months += 1
  return { startMs: monthsAfter(anchorMs, months), endMs: monthsAfter(anchorMs, months + 1) }
}

/** Whether a month between anniversaries of the anchor begins at just this instant. */
export const isAnniversary = (anchorMs: number, atMs: number): boolean =>
  monthAt(anchorMs, atMs).startMs === atMs

export const isWithin = ({ startMs, endMs }: Period, atMs: number): boolean =>
  startMs <= atMs && atMs < endMs
