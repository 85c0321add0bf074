import type { z } from 'zod'

/** Said of what is not there, whatever it should have been; the path tells which field it is. */
export const REQUIRED = 'Is required'

const KINDS: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a JSON object',
}
const UNITS: Readonly<Record<string, readonly [one: string, many: string]>> = {
  string: ['character', 'characters'],
  array: ['entry', 'entries'],
}

/** What is wrong with a value, for whoever sent it, where its schema does not say it itself. */
export const wordingOf: z.core.$ZodErrorMap = (issue) => {
  if (issue.input === undefined && issue.code !== 'custom') return REQUIRED
  switch (issue.code) {
    case 'invalid_type':
      return `Must be ${KINDS[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `Must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}`
    case 'too_small':
      return boundOf('at least', issue.origin, Number(issue.minimum))
    case 'too_big':
      return boundOf('at most', issue.origin, Number(issue.maximum))
    default:
      return undefined
  }
}

function boundOf(bound: string, origin: string, limit: number): string {
  const unit = UNITS[origin]?.[limit === 1 ? 0 : 1]
  return unit === undefined ? `Must be ${bound} ${limit}` : `Must have ${bound} ${limit} ${unit}`
}
