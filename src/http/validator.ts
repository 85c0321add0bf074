import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import { AppError } from '../errors.js'

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
  return (data) => {
    const result = schema.safeParse(data)
    return result.success ? { value: result.data } : { error: invalid(result.error, part) }
  }
}

/** The refusal of input that a zod schema found fault with. */
export function invalid(error: z.ZodError, part: string): AppError {
  const errors = error.issues.flatMap((issue) => fieldErrors(issue, part)).slice(0, MAX_ERRORS)
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
      message: 'Unknown field',
    }))
  }
  return [{ in: part, path: pathText(issue.path), message: issue.message }]
}

const pathText = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    return text === '' ? String(key) : `${text}.${String(key)}`
  }, '')
