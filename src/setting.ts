import { z } from 'zod'

export type Setting<S extends z.ZodType = z.ZodType> = {
  readonly schema: S
  /** What it does, in one line: it becomes the comment in .env.example. */
  readonly about: string
  readonly isSecret: boolean
  /** What is used when it is not set, in words, where that is not a plain value. */
  readonly otherwise: string | null
}

/** A setting; `isSecret` keeps its value out of everything that is printed. */
export const setting = <S extends z.ZodType>(
  schema: S,
  about: string,
  options: { isSecret?: boolean; otherwise?: string } = {},
): Setting<S> => ({
  schema,
  about,
  isSecret: options.isSecret ?? false,
  otherwise: options.otherwise ?? null,
})

/** Digits only: "1e3", "0x10" and " 5" are mistakes rather than numbers here. */
export const whole = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,16}$/, { error, abort: true })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error })
}

/** Digits with at most three more after a point. */
export const decimal = (min: number, max: number) => {
  const error = `must be a number from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,12}(\.\d{1,3})?$/, { error, abort: true })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error })
}

export const flag = () =>
  z.enum(['true', 'false', '1', '0'], { error: 'must be true or false' }).transform(isYes)

const isYes = (text: string): boolean => text === 'true' || text === '1'

export const httpUrl = () =>
  z.string().refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), {
    error: 'must be a URL that begins with http:// or https://',
  })

export const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, { error: `must be one of ${values.join(', ')}` })
