import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ROOT } from './helpers/cluster.js'
import {
  inspectFile,
  MAX_FILE_LINES,
  MAX_FUNCTION_LINES,
  MAX_NESTED_LINES,
  MAX_TEST_FILE_LINES,
} from './helpers/tidy.js'

const FOLDERS = ['src', 'test', 'scripts', 'bench']

/** The checker and its test name what they forbid. */
const EXEMPT = ['test/helpers/tidy.ts', 'test/tidy.test.ts']

const filesOf = (folder: string): string[] => {
  try {
    return (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
      .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
      .filter((path) => path.endsWith('.ts') && !path.includes('/out/'))
  } catch {
    return []
  }
}

for (const folder of FOLDERS) {
  t.test(`${folder} is tidy`, async (t) => {
    const files = filesOf(folder).filter((path) => !EXEMPT.includes(path))
    t.ok(files.length > 0 || folder === 'bench', `${files.length} files`)
    const faults = files.flatMap((path) =>
      inspectFile(path, readFileSync(join(ROOT, path), 'utf8')),
    )
    t.same(faults, [])
  })
}

t.test('the lock file knows no registry but the public one', async (t) => {
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  const hosts = [...lock.matchAll(/"resolved": "[a-z+]+:\/\/([^/"]+)/g)].map(([, host]) => host)
  t.same(new Set(hosts.filter((host) => host !== 'registry.npmjs.org')), new Set())
})

const lines = (count: number, text = 'const x = 1') => `${text}\n`.repeat(count)

const functionOf = (count: number) => `export const f = () => {\n${lines(count - 2, '  void 0')}}\n`

/** Methods of ten lines each, `count` lines of them, in a function of three. */
const factoryOf = (count: number) =>
  `export const f = () => ({\n${`  m() {\n${lines(8, '    void 0')}  },\n`.repeat(count / 10)}})\n`

/** A file with exactly one fault each: what it is called, where it lies, and what must be said. */
const PLANTED: [name: string, path: string, text: string, fault: RegExp][] = [
  [
    'a feature in another',
    'src/credits/x.ts',
    `import '../admin/keys.js'`,
    /credits may not import admin/,
  ],
  [
    'HTTP in the ledger',
    'src/ledger/x.ts',
    `import '../http/page.js'`,
    /ledger may not import http/,
  ],
  [
    'the ledger in HTTP',
    'src/http/x.ts',
    `import '../ledger/model.js'`,
    /http may not import ledger/,
  ],
  ['a feature in the database', 'src/db/x.ts', `import '../credits/tables.js'`, /db may not/],
  ['a type alone', 'src/ledger/x.ts', `import type { A } from '../http/page.js'`, /may not import/],
  ['an import at run time', 'src/ledger/x.ts', `await import('../http/page.js')`, /may not import/],
  ['the process in a feature', 'src/admin/x.ts', `import '../server.js'`, /may not import server/],
  ['a test in the source', 'src/db/x.ts', `import '../../test/helpers/app.js'`, /src may not/],
  ['an unknown part', 'src/novelty/x.ts', '', /not in the table/],
  ['an import without suffix', 'src/db/x.ts', `import './url'`, /must end in \.js/],
  ['Fastify in the ledger', 'src/ledger/x.ts', `import 'fastify'`, /may not import fastify/],
  ['Fastify in a service', 'src/credits/service.ts', `import 'fastify'`, /knows no Fastify/],
  ['pg in a feature', 'src/credits/x.ts', `import pg from 'pg'`, /may not import pg/],
  ['a package in the rules', 'src/ledger/rules.ts', `import 'node:fs'`, /rules are pure/],
  ['a long function', 'src/db/x.ts', functionOf(MAX_FUNCTION_LINES + 1), /function of 41 lines/],
  ['a long factory', 'src/db/x.ts', factoryOf(MAX_NESTED_LINES), /of 102 lines with those inside/],
  ['a long file', 'src/db/x.ts', lines(MAX_FILE_LINES + 1), /251 lines/],
  ['a long test', 'test/x.test.ts', lines(MAX_TEST_FILE_LINES + 1), /401 lines/],
  ['a long line', 'src/db/x.ts', `// ${'x'.repeat(98)}`, /line of 101/],
  ['the environment', 'src/db/x.ts', 'const a = process.env.PORT', /process\.env is read/],
  ['a branch on NODE_ENV', 'src/http/x.ts', `if (mode === 'NODE_ENV') {}`, /NODE_ENV/],
  ['the clock', 'src/credits/x.ts', 'const a = Date.now()', /time is handed in/],
  ['the clock by a date', 'src/db/x.ts', 'const a = new Date()', /time is handed in/],
  ['the stopwatch', 'src/ledger/x.ts', 'const a = performance.now()', /time is handed in/],
  ['chance', 'src/jobs/x.ts', 'const a = Math.random()', /chance is handed in/],
  ['every column', 'src/ledger/x.ts', 'const a = `select * from accounts`', /names its columns/],
  ['a transaction that leaks', 'src/http/x.ts', 'orm.transaction(f)', /inTransaction/],
  ['a default export', 'src/db/x.ts', 'export default 1', /default export/],
  ['a barrel', 'src/db/x.ts', `export * from './url.js'`, /barrel/],
  ['any', 'src/db/x.ts', 'const a = b as any', /: any/],
  ['any in a type', 'test/x.test.ts', 'let a: Record<string, any>', /: any/],
  ['a non-null assertion', 'src/db/x.ts', 'const a = b!.c', /non-null/],
  ['an enum', 'src/db/x.ts', 'enum A { B }', /enum/],
  ['a class', 'src/credits/x.ts', 'class Service {}', /class that is no error/],
  ['console', 'src/http/x.ts', `console.log('x')`, /console/],
  ['a note to self', 'test/x.test.ts', '// TODO: later', /left to do/],
  ['a silenced compiler', 'src/db/x.ts', '// @ts-ignore', /look away/],
  ['utils', 'src/db/utils.ts', '', /says nothing/],
  ['an index', 'src/credits/index.ts', '', /says nothing/],
  ['a camel in a name', 'src/db/slowQuery.ts', '', /not kebab-case/],
  ['a path of this machine', 'scripts/x.ts', `const a = '/home/me/x'`, /path of one machine/],
  ['a host of this network', 'scripts/x.ts', `const a = 'npm.corp'`, /host of one network/],
]

for (const [name, path, text, fault] of PLANTED) {
  t.test(`the checker finds ${name}`, async (t) => {
    const faults = inspectFile(path, text)
    t.equal(faults.length, 1, faults.join('; ') || 'nothing was found')
    t.match(faults[0], fault)
    t.match(faults[0], new RegExp(`^${path}:\\d+: `), 'and says where')
  })
}

const ALLOWED: [name: string, path: string, text: string][] = [
  [
    'a feature on the floors',
    'src/credits/x.ts',
    `import '../ledger/model.js'\nimport '../http/page.js'`,
  ],
  ['a neighbour of the same feature', 'src/credits/a/x.ts', `import '../b/y.js'`],
  ['the time in a composition root', 'src/compose.ts', 'const now = Date.now()'],
  ['the environment in the process', 'src/server.ts', 'const a = process.env'],
  ['printing in the command line', 'src/cli.ts', `console.log('x')`],
  ['an error class', 'src/db/x.ts', 'export class OddError extends Error {}'],
  ['a function of just the length', 'src/db/x.ts', functionOf(MAX_FUNCTION_LINES)],
  ['a function of the database', 'src/ledger/x.ts', 'const a = `select * from ledger_append($1)`'],
  ['a long test case', 'test/x.test.ts', `t.test('x', async () => {\n${lines(90, '  void 0')}})\n`],
]

for (const [name, path, text] of ALLOWED) {
  t.test(`the checker allows ${name}`, async (t) => {
    t.same(inspectFile(path, text), [])
  })
}
