import type { OpenAPIV3_1 } from 'openapi-types'

type Node = { [key: string]: unknown }
const REF = '#/components/schemas/'

/**
 * Removes what generation leaves behind: the twin that each named schema has for input, regular
 * expressions that repeat a format, the bounds of every safe integer, and unused schemas.
 */
export function tidy(document: OpenAPIV3_1.Document): OpenAPIV3_1.Document {
  const schemas = document.components?.schemas as Record<string, Node> | undefined
  if (!schemas) return document
  const twins = twinsOf(schemas)
  visit(document, (node) => {
    const { $ref, format, pattern, maximum, minimum, mapping } = node
    const twin = twinOf(twins, $ref)
    if (twin !== undefined) node.$ref = twin
    if (isNode(mapping)) {
      for (const [name, ref] of Object.entries(mapping)) mapping[name] = twinOf(twins, ref) ?? ref
    }
    if (typeof format === 'string' && typeof pattern === 'string') delete node.pattern
    if (maximum === Number.MAX_SAFE_INTEGER) delete node.maximum
    if (minimum === Number.MIN_SAFE_INTEGER) delete node.minimum
  })
  dropUnused(document, schemas)
  return document
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const twinOf = (twins: ReadonlyMap<string, string>, ref: unknown): string | undefined =>
  typeof ref === 'string' ? twins.get(ref) : undefined

/** `XInput` that says what `X` says, strictness aside. */
function twinsOf(schemas: Record<string, Node>): Map<string, string> {
  const twins = new Map<string, string>()
  for (const [name, schema] of Object.entries(schemas)) {
    if (!name.endsWith('Input')) continue
    const base = name.slice(0, -'Input'.length)
    const other = schemas[base]
    if (other && bare(other) === bare(schema)) twins.set(REF + name, REF + base)
  }
  return twins
}

const bare = (schema: Node): string =>
  JSON.stringify(schema, (key, value) => {
    if (key === 'additionalProperties' && value === false) return undefined
    return typeof value === 'string' && value.startsWith(REF) ? value.replace(/Input$/, '') : value
  })

function dropUnused(document: OpenAPIV3_1.Document, schemas: Record<string, Node>): void {
  // dropping one can make another unused; each round drops at least one
  for (let round = Object.keys(schemas).length; round >= 0; round--) {
    const used = new Set<unknown>()
    visit(document, ({ $ref }) => used.add($ref))
    const unused = Object.keys(schemas).filter((name) => !used.has(REF + name))
    if (unused.length === 0) return
    for (const name of unused) delete schemas[name]
  }
}

function visit(value: unknown, act: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const item of value) visit(item, act)
  } else if (typeof value === 'object' && value !== null) {
    act(value as Node)
    for (const item of Object.values(value)) visit(item, act)
  }
}
