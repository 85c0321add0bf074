import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

type Response = {
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>
}
export type ApiOperation = {
  readonly operationId: string
  readonly description?: string
  readonly security?: readonly object[]
  readonly parameters?: readonly object[]
  readonly requestBody?: object
  readonly responses: Readonly<Record<string, Response>>
}
export type ApiDocument = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, ApiOperation>>>>
}

export type SeenReply = {
  readonly status: number
  readonly contentType: string
  readonly body: unknown
}

/** Tells what in a reply the document does not allow, or null when all of it is documented. */
export type ContractCheck = (method: string, path: string, reply: SeenReply) => string | null

const PROBLEM = '#/components/schemas/Problem'

/** Holds replies against the OpenAPI document; a field that it does not name is a fault. */
export const createContractCheck = (document: ApiDocument): ContractCheck => {
  const closed = closeSchemas(structuredClone(document))
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(closed, 'api')
  const validators = new Map<string, ValidateFunction>()
  const validatorAt = (pointer: string): ValidateFunction => {
    const known = validators.get(pointer) ?? ajv.compile({ $ref: `api${pointer}` })
    validators.set(pointer, known)
    return known
  }
  const faultOf = (pointer: string, body: unknown): string | null => {
    const validate = validatorAt(pointer)
    return validate(body) ? null : ajv.errorsText(validate.errors)
  }
  return (method, path, { status, contentType, body }) => {
    const found = findOperation(document, method, path)
    if (!found) {
      const isProblem = (status === 404 || status === 405) && contentType.includes('problem+json')
      return isProblem ? faultOf(PROBLEM, body) : `${status} where the document has no operation`
    }
    const response = found.operation.responses[String(status)]
    if (!response) return `status ${status} is not documented for ${found.operation.operationId}`
    if (!response.content) return body === '' ? null : `a body where none is documented`
    const type = contentType.split(';')[0] ?? ''
    const media = response.content[type]
    if (!media) return `content type ${type} is not documented for ${status}`
    if (!media.schema || !type.includes('json')) return null
    const steps = ['paths', found.template, method.toLowerCase(), 'responses', String(status)]
    const pointer = [...steps, 'content', type, 'schema'].map(escapeStep).join('/')
    return faultOf(`#/${pointer}`, body)
  }
}

/** The operation a call goes to; literal parts win over parameters, as in the router. */
export const findOperation = (document: ApiDocument, method: string, path: string) => {
  const parts = (path.split('?')[0] ?? '').split('/')
  const templates = Object.keys(document.paths)
    .filter((template) => matches(template.split('/'), parts))
    .sort((a, b) => a.split('{').length - b.split('{').length)
  for (const template of templates) {
    const operation = document.paths[template]?.[method.toLowerCase()]
    if (operation) return { template, operation }
  }
  return null
}

const matches = (template: readonly string[], parts: readonly string[]): boolean =>
  template.length === parts.length &&
  template.every((step, index) =>
    step.startsWith('{') ? parts[index] !== '' : step === parts[index],
  )

const escapeStep = (step: string): string =>
  encodeURIComponent(step.replace(/~/g, '~0').replace(/\//g, '~1'))

type Node = { [key: string]: unknown }

/** Output schemas say nothing of other fields; in a test an undocumented one is a fault. */
const closeSchemas = <T>(node: T): T => {
  if (Array.isArray(node)) {
    for (const item of node) closeSchemas(item)
  } else if (typeof node === 'object' && node !== null) {
    const schema = node as Node
    const isObject = schema.type === 'object' && typeof schema.properties === 'object'
    if (isObject && schema.additionalProperties === undefined) schema.additionalProperties = false
    for (const item of Object.values(schema)) closeSchemas(item)
  }
  return node
}
