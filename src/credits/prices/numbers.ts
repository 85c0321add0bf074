import { z } from 'zod'

type NumbersRule = {
  readonly max: number
  readonly faultOf: (name: string, value: number) => string | null
}

/**
 * An object whose members are all numbers; unlike a record of zod's it is not copied, so that no
 * name (`__proto__`) gets lost unseen.
 */
export function numbersByName({ max, faultOf }: NumbersRule) {
  return z.custom<Readonly<Record<string, number>>>().superRefine((value: unknown, context) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      context.addIssue({ code: 'custom', message: 'Must be a JSON object of numbers' })
      return
    }
    const members = Object.entries(value)
    if (members.length > max) {
      context.addIssue({ code: 'custom', message: `Must have at most ${max} members` })
      return
    }
    for (const [name, member] of members) {
      const fault = typeof member === 'number' ? faultOf(name, member) : 'Must be a number'
      if (fault !== null) context.addIssue({ code: 'custom', path: [name], message: fault })
    }
  })
}
