import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import { AppError } from '../errors.js'
import { NO_QUERY } from './query.js'
import { wordingOf } from './wording.js'

export type FieldError = { readonly in: string; readonly path: string; readonly message: string }

/** More than this helps nobody. */
const MAX_ERRORS = 20

const PARTS: Readonly<Record<string, string>> = {
  body: 'body',
  querystring: 'query',
  params: 'path',
  headers: 'header',
}

/** Validates a part of the request by its zod schema; what fails is told field by field. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  const part = PARTS[httpPart ?? ''] ?? 'body'
  if (schema === NO_QUERY) return refuseAny
  return (data) => validated(schema, data, part)
}

export type Validated<T> =
  | { readonly value: T; readonly error?: never }
  | { readonly value?: never; readonly error: AppError }

/** The value as the schema has it, or the refusal that tells what is wrong with it. */
export function validated<T>(schema: z.ZodType<T>, data: unknown, part: string): Validated<T> {
  const result = schema.safeParse(data)
  if (result.success) return { value: result.data }
  // once more in our own words: to have them at hand each time would cost every valid call
  const told = schema.safeParse(data, { error: wordingOf })
  return { error: invalid(told.error ?? result.error, part) }
}

/** On the way of every call: nothing is looked at where nothing is. */
function refuseAny(query: object) {
  for (const _name in query) {
    const result = NO_QUERY.safeParse(query)
    if (result.error) return { error: invalid(result.error, 'query') }
  }
  return { value: query }
}

/** The refusal of input that a zod schema found fault with. */
function invalid(error: z.ZodError, part: string): AppError {
  const all = error.issues.flatMap((issue) => fieldErrors(issue, part))
  const errors = all.filter(isFirstOfItsKind).slice(0, MAX_ERRORS)
  const first = errors[0]
  const where = first?.path ? `${first.in} ${first.path}` : part
  return new AppError('invalid_request', `${where}: ${first?.message ?? 'not valid'}`, { errors })
}

/** A refusal of one field that only a service could judge. */
export const invalidField = (path: string, message: string, part = 'body'): AppError =>
  new AppError('invalid_request', `${part} ${path}: ${message}`, {
    errors: [{ in: part, path, message }],
  })

function fieldErrors(issue: z.core.$ZodIssue, part: string): FieldError[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      in: part,
      path: pathText([...issue.path, key]),
      message: part === 'query' ? 'Unknown parameter' : 'Unknown field',
    }))
  }
  return [{ in: part, path: pathText(issue.path), message: issue.message }]
}

/** A number that is beyond all bounds breaks several rules, and all of them say the same. */
const isFirstOfItsKind = (error: FieldError, index: number, all: readonly FieldError[]) =>
  all.findIndex(({ path, message }) => path === error.path && message === error.message) === index

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    return text === '' ? String(key) : `${text}.${String(key)}`
  }, '')
