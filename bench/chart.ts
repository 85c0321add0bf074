import type { Result } from './measures.js'
import type { Report } from './report.js'
import { figure } from './statistics.js'

const WIDTH = 760
const ROW = 34
const TOP = 56
const LABELS = 250
const BAR_HEIGHT = 14
const COLORS = { goal: '#2e7d32', floor: '#f9a825', 'below floor': '#c62828' } as const
/** How far the scale goes: half a goal beyond the goal; a longer bar is cut and says its figure. */
const SCALE_MAX = 1.5

/** A bar for each measure, against its goal: the mark at 1 is the goal, the other the floor. */
export function renderChart({ results, machine, startedAt, postgres }: Report): string {
  const height = TOP + results.length * ROW + 16
  const head = `commit ${machine.commit}, ${startedAt.slice(0, 10)}, PostgreSQL ${postgres}, `
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
      `font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    text(12, 22, 'creditd: measures against their goals (longer is better)', 'font-size="15"'),
    text(12, 42, `${head}${machine.processors} × ${escapeXml(machine.model)}`, 'fill="#555"'),
    ...results.map(bar),
    '</svg>',
  ].join('\n')
}

function bar({ measure, value, verdict }: Result, index: number): string {
  const { id, title, floor, goal, isLessBetter } = measure
  const shareOf = (figure: number) => (isLessBetter ? goal / figure : figure / goal)
  const x = (share: number) =>
    LABELS + (Math.min(SCALE_MAX, Math.max(0, share || 0)) / SCALE_MAX) * (WIDTH - LABELS - 80)
  const y = TOP + index * ROW
  const mark = (share: number, dash: string) =>
    `<line x1="${x(share)}" x2="${x(share)}" y1="${y}" y2="${y + 22}" stroke="#000" ${dash}/>`
  const width = x(shareOf(value.median)) - LABELS
  return [
    text(12, y + 15, escapeXml(`${id} ${title}`)),
    `<rect x="${LABELS}" y="${y + 4}" width="${width}" height="${BAR_HEIGHT}" ` +
      `fill="${COLORS[verdict]}"/>`,
    mark(shareOf(floor), 'stroke-dasharray="2 2"'),
    mark(1, ''),
    text(WIDTH - 70, y + 15, figure(value.median)),
  ].join('\n')
}

const text = (x: number, y: number, content: string, attributes = ''): string =>
  `<text x="${x}" y="${y}" ${attributes}>${content}</text>`

const escapeXml = (value: string): string =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
