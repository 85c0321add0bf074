import { dirname, posix } from 'node:path'
import ts from 'typescript'

/** What breaks the house rules in one file, each as `line: what`. */
export type Faults = string[]

/** Of a function's own: what it holds of other functions is counted with those. */
export const MAX_FUNCTION_LINES = 40
/** With all the functions inside it, as a factory has them. */
export const MAX_NESTED_LINES = 100
export const MAX_FILE_LINES = 250
/** Tests are lists of cases: they may be longer, within reason. */
export const MAX_TEST_FILE_LINES = 400
export const MAX_LINE_LENGTH = 100

const FEATURES = [
  ...['credits', 'purchases', 'plans', 'events', 'sessions', 'limits', 'admin', 'health'],
]

const FLOORS = ['errors', 'db', 'ledger', 'http', 'stores', 'policies', 'payment-facts']

/** What each part of src may import of the others; what is not here may not be. */
const IMPORTS: Record<string, readonly string[]> = {
  errors: [],
  version: [],
  drain: [],
  db: ['errors'],
  ledger: ['errors', 'db'],
  stores: ['errors'],
  policies: ['stores'],
  thresholds: [],
  'payment-facts': [],
  http: ['errors', 'db', 'stores', 'policies'],
  jobs: ['errors', 'db'],
  operations: ['errors', 'db', 'ledger'],
  alerts: ['errors', 'db', 'thresholds'],
  log: ['db'],
  'settings-limits': ['policies', 'setting'],
  setting: [],
  'settings-alerts': ['setting', 'thresholds'],
  'settings-sessions': ['setting', 'stores'],
  'settings-redis': ['setting'],
  'settings-purchases': ['setting'],
  'settings-events': ['setting'],
  settings: [
    ...['db', 'setting', 'settings-alerts', 'settings-limits', 'settings-redis'],
    ...['settings-sessions', 'settings-purchases', 'settings-events'],
  ],
  'config-features': ['settings'],
  config: [
    'config-features',
    'settings',
    'settings-limits',
    'policies',
    'thresholds',
    'config-redis',
    'db',
  ],
  'config-redis': ['settings', 'stores'],
  explain: ['config', 'db', 'errors'],
  ...Object.fromEntries(FEATURES.map((name) => [name, [...FLOORS]])),
  app: ['http', ...FEATURES],
  'compose-metrics': ['compose', 'http'],
  'compose-databases': ['config', 'db'],
  'compose-stores': ['config', 'compose-databases', 'http', 'stores'],
  'compose-first-key': ['compose', 'db', 'admin'],
  compose: ['compose-databases', 'config', 'db', 'ledger', 'jobs'],
  'compose-command': ['compose', 'compose-databases', 'config', 'db', 'ledger', 'log', 'stores'],
  'compose-reconcile': ['compose', 'http', 'jobs', 'ledger'],
  'compose-alerts': ['alerts', 'compose', 'http'],
  'compose-sessions': ['compose', 'sessions', 'stores'],
  'compose-purchases': ['compose', 'config', 'http', 'ledger', 'payment-facts', 'purchases'],
  'compose-webhooks': ['compose', 'http', 'payment-facts', 'purchases'],
  'compose-provider-reconcile': [
    ...['compose', 'compose-plans', 'compose-purchases', 'compose-webhooks'],
    ...['jobs', 'payment-facts', 'purchases', 'sessions'],
  ],
  'compose-plans': ['compose', 'config', 'http', 'ledger', 'payment-facts', 'plans'],
  'compose-events': ['compose', 'config', 'events', 'http'],
  'compose-app': [
    'compose',
    ...['compose-purchases', 'compose-webhooks', 'compose-plans', 'compose-events'],
    'compose-provider-reconcile',
    'compose-sessions',
    'compose-alerts',
    'compose-reconcile',
    'compose-stores',
    'app',
    'stores',
    'config',
    'db',
    'ledger',
    'http',
    'jobs',
    ...FEATURES,
  ],
  service: [
    ...['compose', 'compose-app', 'compose-first-key', 'compose-metrics'],
    ...['config', 'drain', 'http', 'version'],
  ],
  server: ['service', 'config', 'explain', 'log', 'app', 'compose'],
  cli: [
    ...['compose', 'compose-command', 'compose-provider-reconcile'],
    ...['config', 'explain', 'log', 'version', 'app'],
    ...['alerts', 'db', 'ledger', 'stores', 'http', 'operations', 'policies', ...FEATURES],
  ],
}

/** Packages that only some parts may know, by the parts that may. */
const PACKAGES: Record<string, readonly string[]> = {
  fastify: ['http', ...FEATURES],
  'fastify-type-provider-zod': ['http', ...FEATURES],
  pg: ['db', 'ledger', 'operations'],
  'prom-client': ['http'],
  ioredis: ['stores'],
  '@fastify/rate-limit': ['http'],
  croner: ['jobs'],
  citty: ['cli'],
  stripe: ['purchases'],
  standardwebhooks: ['events'],
  'ipaddr.js': ['events'],
  'close-with-grace': ['server'],
  'drizzle-orm': ['alerts', 'db', 'http', 'jobs', 'ledger', ...FEATURES],
  zod: [
    ...['setting', 'settings', 'settings-limits', 'settings-redis', 'http'],
    ...['settings-purchases', ...FEATURES],
  ],
}

/** Where wall clocks, random numbers and ids come from; everywhere else they are handed in. */
const ROOTS = /^src\/(cli\/|(server|cli|service|compose[a-z-]*)\.ts$)/
const READS_ENVIRONMENT =
  /^(src\/(server|cli|cli\/command|cli\/colors)\.ts|scripts\/|test\/|bench\/|[a-z.]+\.ts$)/
const MAY_PRINT = /^(src\/cli(\/command)?\.ts|scripts\/|bench\/)/
const KNOWS_NODE_ENV =
  /^(src\/(settings|settings-redis|config|stores\/prefix)\.ts|scripts\/|test\/|bench\/)/
/** These adapt classes of pg, which can be adapted in no other way. */
const MAY_HAVE_CLASSES = /^src\/db\/(pool|client)\.ts$/
/** ledger/ids.ts is where ids are made. */
const SERVICE_CODE =
  /^src\/(ledger\/(?!ids\.ts)|alerts|http|jobs|operations|stores|credits|purchases|plans|events|sessions|limits|admin|health)/

const BANNED_FILE_NAMES = /(^|\/)(utils?|helpers?|common|misc|index)\.ts$/
const KEBAB_CASE = /^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/

type File = { readonly path: string; readonly text: string; readonly source: ts.SourceFile }
type Report = (node: ts.Node | number, message: string) => void
type Rule = (file: File, report: Report) => void

/** Looks at one file; `path` is relative to the root, with forward slashes. */
export const inspectFile = (path: string, text: string): Faults => {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  const faults: Faults = []
  const report: Report = (at, message) => {
    const line =
      typeof at === 'number' ? at : source.getLineAndCharacterOfPosition(at.getStart()).line + 1
    faults.push(`${path}:${line}: ${message}`)
  }
  for (const rule of RULES) rule({ path, text, source }, report)
  return faults
}

const walk = (node: ts.Node, visit: (node: ts.Node) => void): void => {
  visit(node)
  ts.forEachChild(node, (child) => walk(child, visit))
}

const isSource = (path: string): boolean => path.startsWith('src/')

/** The part of src that a file belongs to: its folder, or its own name. */
const partOf = (path: string): string => (path.split('/')[1] ?? '').replace(/\.[jt]s$/, '')

const checkNames: Rule = ({ path }, report) => {
  const name = posix.basename(path)
  if (BANNED_FILE_NAMES.test(path)) report(1, `${name} says nothing of what is in it`)
  if (!KEBAB_CASE.test(name) && !name.includes('.config.')) report(1, `${name} is not kebab-case`)
}

const checkLengths: Rule = ({ path, text, source }, report) => {
  const lines = text.split('\n')
  const limit = isSource(path) ? MAX_FILE_LINES : MAX_TEST_FILE_LINES
  if (lines.length - 1 > limit) report(limit, `${lines.length - 1} lines, at most ${limit}`)
  lines.forEach((line, index) => {
    if (line.length > MAX_LINE_LENGTH) report(index + 1, `a line of ${line.length} characters`)
  })
  walk(source, (node) => {
    if (!hasBody(node) || isTestCase(node)) return
    const all = linesOf(node, source)
    const own = all - nestedLinesOf(node, source)
    if (own > MAX_FUNCTION_LINES) report(node, `a function of ${own} lines`)
    if (all > MAX_NESTED_LINES && isSource(path)) {
      report(node, `a function of ${all} lines with those inside it`)
    }
  })
}

const hasBody = (node: ts.Node): boolean => ts.isFunctionLike(node) && 'body' in node

const linesOf = (node: ts.Node, source: ts.SourceFile): number =>
  source.getLineAndCharacterOfPosition(node.end).line -
  source.getLineAndCharacterOfPosition(node.getStart()).line +
  1

/** The lines of the outermost functions inside; one that fits on a line is part of its line. */
const nestedLinesOf = (node: ts.Node, source: ts.SourceFile): number => {
  let sum = 0
  ts.forEachChild(node, (child) => {
    const lines = hasBody(child) ? linesOf(child, source) : 0
    sum += lines > 1 ? lines : nestedLinesOf(child, source)
  })
  return sum
}

/** The function given to t.test() is a list of steps. */
const isTestCase = (node: ts.Node): boolean =>
  ts.isCallExpression(node.parent) && /(^|\.)test$/.test(node.parent.expression.getText())

const importsOf = (source: ts.SourceFile): { node: ts.Node; name: string }[] => {
  const found: { node: ts.Node; name: string }[] = []
  walk(source, (node) => {
    const isStatement = ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
    const isCall = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
    const from = isStatement ? node.moduleSpecifier : isCall ? node.arguments[0] : undefined
    if (from && ts.isStringLiteral(from)) found.push({ node, name: from.text })
  })
  return found
}

const checkImports: Rule = ({ path, source }, report) => {
  if (!isSource(path)) return
  const part = partOf(path)
  const allowed = IMPORTS[part]
  if (!allowed) return report(1, `src/${part} is not in the table of imports`)
  for (const { node, name } of importsOf(source)) {
    if (!name.startsWith('.')) {
      checkPackage(path, name, (message) => report(node, message))
      continue
    }
    if (!name.endsWith('.js')) report(node, `${name} must end in .js`)
    const target = posix.normalize(posix.join(dirname(path), name))
    if (!target.startsWith('src/')) report(node, `src may not import ${target}`)
    else if (partOf(target) !== part && !allowed.includes(partOf(target))) {
      report(node, `${part} may not import ${partOf(target)}`)
    }
  }
}

const checkPackage = (path: string, name: string, report: (message: string) => void): void => {
  const [scope = '', rest = ''] = name.split('/')
  const owners = PACKAGES[name.startsWith('@') ? `${scope}/${rest}` : scope]
  if (owners && !owners.includes(partOf(path))) report(`${partOf(path)} may not import ${name}`)
  const isHttp = name === 'fastify' || name.startsWith('@fastify/')
  if (isHttp && /\/service\.ts$/.test(path)) report('a service knows no Fastify')
  if (/^src\/ledger\/[a-z-]*rules\.ts$/.test(path)) report('rules are pure and import no package')
}

const checkTexts: Rule = ({ path, text }, report) => {
  const bans: [RegExp, string, boolean][] = [
    [/\b(TODO|FIXME|XXX|HACK)\b/, 'left to do', true],
    [/@ts-(ignore|nocheck)/, 'the compiler is told to look away', true],
    [
      /\bprocess\.env\b/,
      'process.env is read in server.ts and cli.ts',
      !READS_ENVIRONMENT.test(path),
    ],
    [/\bNODE_ENV\b/, 'only the settings know NODE_ENV', !KNOWS_NODE_ENV.test(path)],
    [/\bDate\.now\(|\bnew Date\(\)/, 'the time is handed in', isSource(path) && !ROOTS.test(path)],
    [/\bMath\.random\b|\brandomUUID\b/, 'chance is handed in', SERVICE_CODE.test(path)],
    [/\bperformance\.now\b/, 'the time is handed in', /^src\/(ledger|credits|admin)\//.test(path)],
    [/\b(orm|tx)\.transaction\(/, 'it leaks connections: inTransaction', isSource(path)],
    [/\bselect \*(?! from [a-z_]+\()/i, 'select names its columns', isSource(path)],
    [/(^|[\s'"`(=:])\/(work|root|home|Users)\//, 'a path of one machine', true],
    [/[a-z0-9.-]+\.(internal|local|lan|corp)\b(?!host)/i, 'a host of one network', true],
  ]
  text.split('\n').forEach((line, index) => {
    for (const [pattern, message, applies] of bans) {
      if (applies && pattern.test(line)) report(index + 1, message)
    }
  })
}

const checkSyntax: Rule = ({ path, text, source }, report) => {
  const lines = text.split('\n')
  // a test may look at a reply of any shape, if it says why
  const isExcused = (node: ts.Node): boolean => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart())
    return !isSource(path) && /biome-ignore \S*noExplicitAny: \w/.test(lines[line - 1] ?? '')
  }
  walk(source, (node) => {
    if (node.kind === ts.SyntaxKind.AnyKeyword && !isExcused(node)) report(node, 'any')
    if (ts.isNonNullExpression(node)) report(node, 'a non-null assertion')
    if (ts.isEnumDeclaration(node)) report(node, 'an enum: use a union of strings')
    if (ts.isExportAssignment(node) && !path.endsWith('.config.ts'))
      report(node, 'a default export')
    if (ts.isExportDeclaration(node) && node.moduleSpecifier) report(node, 'a re-export: a barrel')
    if (isSource(path) && ts.isClassLike(node) && !isError(node) && !MAY_HAVE_CLASSES.test(path)) {
      report(node, 'a class that is no error')
    }
    if (isPrint(node) && isSource(path) && !MAY_PRINT.test(path))
      report(node, 'console is for cli.ts')
  })
}

const isPrint = (node: ts.Node): boolean =>
  ts.isPropertyAccessExpression(node) && node.expression.getText() === 'console'

const isError = (node: ts.ClassLikeDeclaration): boolean =>
  node.heritageClauses?.some(({ types }) =>
    types.some(({ expression }) => /Error$/.test(expression.getText())),
  ) ?? false

const RULES: readonly Rule[] = [checkNames, checkLengths, checkImports, checkTexts, checkSyntax]
