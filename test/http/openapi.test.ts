import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { describeApi } from '../../scripts/describe-api.js'
import { openApp, type TestApp } from '../helpers/app.js'
import { type ApiDocument, createContractCheck } from '../helpers/contract.js'

type Schema = { readonly [key: string]: unknown }
type Media = { readonly schema?: Schema; readonly example?: unknown; readonly examples?: object }
type Parameter = {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly schema: Schema
}
type Operation = {
  readonly operationId: string
  readonly summary?: string
  readonly description?: string
  readonly security?: readonly object[]
  readonly parameters?: readonly (Parameter | { $ref: string })[]
  readonly requestBody?: { readonly content: Record<string, Media> }
  readonly responses: Record<string, { description?: string; content?: Record<string, Media> }>
}
type Document = { readonly paths: Record<string, Record<string, Operation>> } & Schema

const documentOf = ({ app }: TestApp) => app.swagger() as unknown as Document

t.test('openapi.yaml is what the routes say', async (t) => {
  const committed = readFileSync(new URL('../../openapi.yaml', import.meta.url), 'utf8')
  t.ok(committed === (await describeApi()), 'stale: npm run openapi')
})

t.test('every call and every error has a description and an example', async (t) => {
  const document = documentOf(await openApp(t))
  const ids = new Set<string>()
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const name = `${method.toUpperCase()} ${path}`
      ids.add(operation.operationId)
      t.ok(operation.summary && operation.description && operation.security, name)
      for (const media of Object.values(operation.requestBody?.content ?? {})) {
        t.ok(media.example !== undefined, `${name}: example of the body`)
      }
      for (const [status, response] of Object.entries(operation.responses)) {
        t.ok(response.description, `${name} ${status}`)
        for (const [type, media] of Object.entries(response.content ?? {})) {
          if (!type.includes('json') || path.startsWith('/openapi')) continue
          t.ok(media.example ?? media.examples, `${name}: example of ${status}`)
        }
      }
    }
  }
  const count = Object.values(document.paths).flatMap((item) => Object.keys(item)).length
  t.equal(ids.size, count, 'operation ids differ')
})

t.test('every example of a body is one that the service would take', async (t) => {
  const service = await openApp(t)
  const document = documentOf(service)
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const body = operation.requestBody?.content['application/json']?.example
      if (body === undefined) continue
      const url = path.replace('{accountId}', 'user-42').replace(/\{\w+\}/g, 'none')
      const reply = await service.call(method.toUpperCase(), url, body)
      t.not(reply.status, 400, `${method} ${path}: ${JSON.stringify(reply.body)}`)
    }
  }
})

t.test('the document is served as JSON, as YAML and as a page', async (t) => {
  const { app } = await openApp(t)
  const json = await app.inject('/openapi.json')
  t.equal(json.json().openapi, '3.1.1')
  const yaml = await app.inject('/openapi.yaml')
  t.match(yaml.headers['content-type'], /^application\/yaml/)
  t.match(yaml.body, /^openapi: 3\.1\.1\n/)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-security-policy'], /default-src 'none'.*script-src 'self';/)
  t.notMatch(page.headers['content-security-policy'], /unsafe|upgrade-insecure/)
  t.equal((await app.inject('/docs/static/swagger-ui.css')).statusCode, 200)
})

t.test('the check of replies finds what is not documented', async (t) => {
  const faultOf = createContractCheck(documentOf(await openApp(t)) as unknown as ApiDocument)
  const json = { contentType: 'application/json; charset=utf-8' }
  const live = { status: 200, ...json, body: { status: 'ok', version: '1', rollbackMode: false } }
  t.equal(faultOf('GET', '/health', live), null)
  t.match(faultOf('GET', '/health', { ...live, status: 418 }), /not documented/)
  t.match(faultOf('GET', '/health', { ...live, contentType: 'text/html' }), /content type/)
  t.match(
    faultOf('GET', '/health', { ...live, body: { status: 'ok', rollbackMode: true } }),
    /version/,
  )
  t.match(faultOf('GET', '/health', { ...live, body: { ...live.body, more: 1 } }), /additional/)
  t.match(faultOf('GET', '/nowhere', live), /no operation/)
})

const RUNS = 40

t.test('whatever is sent, every reply is documented and none is a 5xx', async (t) => {
  // calls on behalf of a user are not to end in refusals that look at nothing
  const environment = {
    ENABLE_CREDIT_PURCHASES: 'true',
    RATE_LIMIT_API: '1000000/1m',
    RATE_LIMIT_SEARCH: '1000000/1m',
    RATE_LIMIT_PAYMENT: '1000000/1m',
  }
  const service = await openApp(t, { environment })
  await service.open('user-42', 1_000_000)
  await service.call('PUT', '/v1/prices/image.generate', { cost: 1 })
  const document = documentOf(service)
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  )
  // what ends an account comes last
  const isEnd = ({ path, method }: { path: string; method: string }) =>
    Number(method === 'delete' || path.endsWith('/freeze'))
  operations.sort((a, b) => isEnd(a) - isEnd(b))
  const statuses = new Set<number>()
  for (const { path, method, operation } of operations) {
    const name = `${method.toUpperCase()} ${path}`
    // an answer takes a quarter of a second there: see the price list
    const numRuns = /prices|tiers/.test(path) && method !== 'get' ? 5 : RUNS
    const check = fc.asyncProperty(requestFor(document, path, operation), async (request) => {
      const { url, body, headers } = request
      const reply = await service.call(method.toUpperCase(), url, body, { headers })
      statuses.add(reply.status)
      if (reply.status >= 500) throw new Error(`${reply.status}: ${JSON.stringify(reply.body)}`)
    })
    const report = await fc.check(check, { numRuns, endOnFailure: true })
    t.notOk(report.failed, `${name} seed ${report.seed}`, {
      counterexample: report.counterexample,
      error: String(report.errorInstance).slice(0, 1_000),
    })
  }
  t.ok(statuses.has(201) && statuses.has(400) && statuses.has(404), [...statuses].join())
  t.same((await service.call('GET', '/v1/reconcile')).body.mismatches, [])
})

type Sent = { url: string; body: string | undefined; headers: Record<string, string> }

const requestFor = (document: Document, path: string, operation: Operation): fc.Arbitrary<Sent> => {
  const parameters = (operation.parameters ?? []).map((p) => deref(document, p) as Parameter)
  const values = fc.record(
    Object.fromEntries(
      parameters.map((parameter) => [
        `${parameter.in}:${parameter.name}`,
        parameter.required
          ? valueFor(document, parameter)
          : fc.option(valueFor(document, parameter), { nil: undefined }),
      ]),
    ),
  )
  const schema = operation.requestBody?.content['application/json']?.schema
  const fitting = schema ? arbitrary(document, schema) : fc.constant(undefined)
  const body = schema
    ? fc.oneof(
        { weight: 4, arbitrary: fitting.map((value) => JSON.stringify(value)) },
        { weight: 1, arbitrary: fc.json({ maxDepth: 3 }) },
        { weight: 1, arbitrary: fc.string() },
      )
    : fc.constant(undefined)
  return fc.record({ values, body }).map(({ values: given, body: text }) => {
    const query = new URLSearchParams()
    const headers: Record<string, string> = {}
    let url = path
    for (const { name, in: place } of parameters) {
      const value = given[`${place}:${name}`]
      if (value === undefined) continue
      // a client resolves `.` and `..` before it sends them
      const step = encodeURIComponent(String(value)).replace(/^\.{0,2}$/, '-')
      if (place === 'path') url = url.replace(`{${name}}`, step)
      else if (place === 'query') query.append(name, String(value))
      else headers[name.toLowerCase()] = String(value).replace(/[^\x20-\x7e]/g, '?')
    }
    return { url: query.size > 0 ? `${url}?${query}` : url, body: text, headers }
  })
}

const valueFor = (document: Document, { name, schema }: Parameter): fc.Arbitrary<unknown> => {
  const fitting = arbitrary(document, schema)
  // no lone surrogates: encodeURIComponent, as a client, can't send them
  const wild = fc.string({ unit: 'grapheme', maxLength: 40 })
  const known = name === 'accountId' ? [fc.constant('user-42')] : []
  return fc.oneof(...known, ...known, fitting, fitting, wild)
}

const deref = (document: Document, node: Schema | { $ref: string }): Schema => {
  if (typeof node.$ref !== 'string') return node as Schema
  const steps = node.$ref.split('/').slice(1)
  return deref(
    document,
    steps.reduce<Schema>((at, step) => at[step] as Schema, document),
  )
}

const arbitrary = (document: Document, node: Schema): fc.Arbitrary<unknown> => {
  const schema = deref(document, node)
  const branches = (schema.oneOf ?? schema.anyOf) as Schema[] | undefined
  if (branches) return fc.oneof(...branches.map((branch) => arbitrary(document, branch)))
  if ('const' in schema) return fc.constant(schema.const)
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum)
  const examples = Array.isArray(schema.examples) ? schema.examples : []
  const made = ofType(document, schema)
  return examples.length > 0 ? fc.oneof(made, fc.constantFrom(...examples)) : made
}

const ofType = (document: Document, schema: Schema): fc.Arbitrary<unknown> => {
  const {
    minimum,
    maximum,
    minLength = 0,
    maxLength = 40,
    pattern,
    format,
  } = schema as {
    minimum?: number
    maximum?: number
    minLength?: number
    maxLength?: number
    pattern?: string
    format?: string
  }
  switch (schema.type) {
    case 'integer':
      return fc.oneof(
        fc.integer({ min: minimum ?? -1_000, max: Math.min(maximum ?? 1_000, 1_000) }),
        fc.maxSafeInteger().map((n) => Math.min(Math.max(n, minimum ?? n), maximum ?? n)),
      )
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true })
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'string':
      if (format === 'date-time') return fc.date({ noInvalidDate: true }).map(isoOf)
      if (pattern) return fc.stringMatching(new RegExp(pattern))
      return fc.string({ minLength, maxLength: Math.min(maxLength, 60), unit: 'grapheme' })
    case 'array':
      return fc.array(arbitrary(document, (schema.items ?? {}) as Schema), { maxLength: 6 })
    case 'object':
      return objectOf(document, schema)
    default:
      return fc.jsonValue({ maxDepth: 2 })
  }
}

const objectOf = (document: Document, schema: Schema): fc.Arbitrary<unknown> => {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Schema>)
  const fields = properties.map(([name, value]) => [name, arbitrary(document, value)] as const)
  const required = new Set((schema.required ?? []) as string[])
  const record = fc.record(Object.fromEntries(fields), {
    requiredKeys: properties.map(([name]) => name).filter((name) => required.has(name)),
  })
  if (!schema.additionalProperties) return record
  const more = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : {}
  const others = fc.dictionary(fc.string({ maxLength: 8 }), arbitrary(document, more as Schema), {
    maxKeys: 3,
  })
  return fc.tuple(record, others).map(([known, other]) => ({ ...other, ...(known as object) }))
}

const isoOf = (date: Date) => date.toISOString()
