/**
 * The same time of day one calendar month later, in UTC; the day is clamped to the month's last:
 * 31 January gives 28 or 29 February.
 */
export function monthAfter(ms: number): number {
  const date = new Date(ms)
  const year = date.getUTCFullYear()
  const month = date.getUTCMonth() + 1
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate()
  const day = Math.min(date.getUTCDate(), lastDay)
  return Date.UTC(year, month, day) + (ms - Date.UTC(year, month - 1, date.getUTCDate()))
}
