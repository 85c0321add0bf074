import type { OpenAPIV3_1 } from 'openapi-types'
import { ERRORS, type ErrorCode } from '../errors.js'
import type { PolicyName } from '../policies.js'
import { type Access, knowsCallers, reachOf, type SessionReach, scopesOf } from './actor.js'
import { headerComponents, limitHeaders, ON_BEHALF_OF, systemHeaders } from './openapi-limits.js'
import { tidy } from './openapi-tidy.js'
import { PROBLEM_TYPE, problemExample } from './problem.js'

type Document = OpenAPIV3_1.Document
type Operation = OpenAPIV3_1.OperationObject
type Media = OpenAPIV3_1.MediaTypeObject

/** What a route's config says and its schema does not. */
export type RouteNote = {
  readonly access: Access
  readonly errors: readonly ErrorCode[]
  /** The policy of its rate limit. */
  readonly limit: PolicyName | null
  /** Its replies tell how the credit system is run. */
  readonly tellsSystem: boolean
  readonly hasInput: boolean
  readonly hasBody: boolean
  readonly isWrite: boolean
  readonly bodyLimitBytes: number
}

const PROBLEM_SCHEMA = { $ref: '#/components/schemas/Problem' }
const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const

const REQUEST_ID_HEADER = {
  description: 'The id of the call, for support and logs; yours when you sent a sane one.',
  schema: { type: 'string' as const },
  example: 'k3x9-1f',
}
const REPLAYED_HEADER = {
  description: '`true` when the answer was given before, under the same idempotency key.',
  schema: { type: 'string' as const, enum: ['true'] },
}
const KEY_PARAMETER = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'Makes the call safe to repeat: up to 255 printable ASCII characters, bare or in double ' +
    'quotes. The same key with another body is refused with 422.',
  schema: { type: 'string' as const, minLength: 1, maxLength: 257 },
  example: 'order-1017',
}

/** Adds to a generated document what holds for every route, and removes what says nothing. */
export function finishDocument(
  document: Document,
  notes: ReadonlyMap<string, RouteNote>,
): Document {
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const method of METHODS) {
      const operation = item?.[method]
      const note = notes.get(`${method.toUpperCase()} ${path}`)
      if (operation && note) finishOperation(document, operation, note)
    }
  }
  document.components = {
    ...document.components,
    headers: {
      RequestId: REQUEST_ID_HEADER,
      Replayed: REPLAYED_HEADER,
      ...headerComponents,
    },
    parameters: { IdempotencyKey: KEY_PARAMETER, OnBehalfOf: ON_BEHALF_OF },
    examples: Object.fromEntries(
      codesOf(notes).map((code) => [
        code,
        { summary: ERRORS[code][1], value: problemExample(code) },
      ]),
    ),
  }
  return tidy(document)
}

function finishOperation(document: Document, operation: Operation, note: RouteNote): void {
  const { access, isWrite, limit } = note
  operation.security = access === 'public' ? [] : securityOf(access)
  operation.description = [
    operation.description ?? '',
    ...(limit === null ? [] : [`Rate limit: \`${limit}\`.`]),
    ...notesOn(access),
  ].join('\n\n')
  const parameters = [
    ...(isWrite ? [{ $ref: '#/components/parameters/IdempotencyKey' }] : []),
    ...(limit !== null && scopesOf(access).length > 0
      ? [{ $ref: '#/components/parameters/OnBehalfOf' }]
      : []),
  ]
  if (parameters.length > 0) {
    operation.parameters = [...(operation.parameters ?? []), ...parameters]
  }
  if (operation.requestBody && 'content' in operation.requestBody) {
    operation.requestBody.required = false
    giveExamples(document, operation.requestBody.content)
  }
  finishReplies(document, operation, note)
}

const securityOf = (access: Access): OpenAPIV3_1.SecurityRequirementObject[] => [
  ...(knowsCallers(access) ? [{}] : []),
  ...(scopesOf(access).length > 0 ? [{ apiKey: [] }] : []),
  ...(reachOf(access) === null ? [] : [{ session: [] }]),
]

const REACH: Readonly<Record<SessionReach, string>> = {
  own: 'Open to a session for its own account; any other is a 404.',
  narrowed: 'Open to a session, as far as it is its own.',
  shared: 'Open to any session.',
}

/** Who may call it, in words. */
function notesOn(access: Access): string[] {
  if (access === 'public') return []
  const reach = reachOf(access)
  const scopes = scopesOf(access).map((scope) => `\`${scope}\``)
  const enough = [...new Set([...scopes, '`admin`'])].join(' or ')
  return [
    ...(knowsCallers(access) ? ['Open to anybody; a credential shows more.'] : []),
    ...(reach === null ? [] : [REACH[reach]]),
    ...(scopes.length === 0 ? [] : [`Scope: ${enough}.`]),
  ]
}

function finishReplies(document: Document, operation: Operation, note: RouteNote): void {
  const { responses = {} } = operation
  for (const [status, response] of Object.entries(responses)) {
    if ('$ref' in response) continue
    if (response.description === 'Default Response') response.description = describe(status)
    if (response.content) giveExamples(document, response.content)
    response.headers = {
      ...response.headers,
      'X-Request-Id': { $ref: '#/components/headers/RequestId' },
      ...(note.limit !== null && limitHeaders),
      ...(note.tellsSystem && systemHeaders),
      ...(note.isWrite && { 'Idempotent-Replayed': { $ref: '#/components/headers/Replayed' } }),
    }
  }
  for (const [status, codes] of byStatus(errorsOf(note))) {
    const examples = codes.map((code) => [code, { $ref: `#/components/examples/${code}` }])
    const content = { schema: PROBLEM_SCHEMA, examples: Object.fromEntries(examples) }
    responses[status] = {
      description: codes.map((code) => `\`${code}\`: ${ERRORS[code][1]}`).join('\n\n'),
      headers: {
        'X-Request-Id': { $ref: '#/components/headers/RequestId' },
        ...(status === '429' && {
          ...limitHeaders,
          'Retry-After': { $ref: '#/components/headers/RetryAfter' },
        }),
      },
      content: { [PROBLEM_TYPE]: content },
    }
  }
  operation.responses = responses
}

/** The errors that follow from what a route is, and its own. */
function errorsOf(note: RouteNote): ErrorCode[] {
  const codes = new Set<ErrorCode>(note.errors)
  if (note.hasInput || note.isWrite) codes.add('invalid_request')
  if (note.access !== 'public') codes.add('unauthenticated').add('forbidden')
  if (note.access !== 'public' && reachOf(note.access) !== null) codes.add('sessions_unavailable')
  if (reachOf(note.access) === 'own') codes.add('account_not_found')
  if (note.hasBody)
    codes.add('payload_too_large').add('unsupported_media_type').add('request_timeout')
  if (note.isWrite) codes.add('idempotency_key_reused').add('overloaded').add('outcome_unknown')
  if (note.isWrite) codes.add('maintenance')
  if (note.access !== 'public') codes.add('database_unavailable').add('overloaded')
  if (note.limit !== null) codes.add('rate_limited').add('overloaded')
  codes.add('internal')
  return [...codes]
}

const codesOf = (notes: ReadonlyMap<string, RouteNote>): ErrorCode[] =>
  [...new Set([...notes.values()].flatMap(errorsOf))].sort()

function byStatus(codes: readonly ErrorCode[]): [string, ErrorCode[]][] {
  const groups = new Map<string, ErrorCode[]>()
  for (const code of codes) {
    const status = String(ERRORS[code][0])
    groups.set(status, [...(groups.get(status) ?? []), code])
  }
  return [...groups]
}

/** Every body has an example: its schema's first one, or one put together from its parts. */
function giveExamples(document: Document, content: Record<string, Media>): void {
  for (const media of Object.values(content)) {
    if (media.example !== undefined || media.examples !== undefined || !media.schema) continue
    const example = exampleOf(document, media.schema)
    if (example !== undefined) media.example = example
  }
}

type Schema = {
  readonly $ref?: string
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
}

function exampleOf(document: Document, schema: Schema): unknown {
  const { $ref, examples, properties, items } = schema
  if (examples?.[0] !== undefined) return examples[0]
  const named = document.components?.schemas?.[$ref?.split('/').at(-1) ?? '']
  if (named) return exampleOf(document, named as Schema)
  if (items) return [exampleOf(document, items)].filter((item) => item !== undefined)
  if (!properties) return undefined
  const parts = Object.entries(properties).map(([name, part]) => [name, exampleOf(document, part)])
  return Object.fromEntries(parts)
}

const describe = (status: string): string => (status === '201' ? 'Done' : 'As asked')
