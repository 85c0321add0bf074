import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createHistogram } from '../../bench/load/histogram.js'
import { clearReply, emptyReply, takeBytes } from '../../bench/load/reply.js'
import { createAsks } from '../../bench/load/requests.js'
import { judge, MEASURE_IDS, verdictOf } from '../../bench/measures.js'
import { readOptions } from '../../bench/options.js'
import type { Report } from '../../bench/report.js'
import { ROOT } from '../helpers/cluster.js'

const RUN_TIMEOUT_MS = 100_000

const run = promisify(execFile)

/** Where the run had its cluster. */
const directoryOf = (stdout: string): string => /creditd-bench-\w+/.exec(stdout)?.[0] ?? 'none'
const isLeft = (directory: string): boolean => existsSync(join(tmpdir(), directory))

t.test('the whole bench runs, is exact, and leaves nothing behind', async (t) => {
  const { stdout } = await run(
    process.execPath,
    ['--import=tsx', join('bench', 'run.ts'), '--tiny', '--no-gate'],
    { cwd: ROOT, timeout: RUN_TIMEOUT_MS, env: plainEnvironment() },
  )
  const out = join(ROOT, 'bench', 'out', 'tiny')
  const report = JSON.parse(readFileSync(join(out, 'latest.json'), 'utf8')) as Report
  t.same(new Set(report.results.map(({ measure }) => measure.id)), new Set(MEASURE_IDS))
  t.same(
    report.results.filter(({ value }) => !(value.median > 0)),
    [],
    'each measure has a figure',
  )
  t.ok(report.recount.acknowledged > 0, 'charges were made')
  t.equal(report.recount.stored, report.recount.acknowledged)
  t.same(report.recount.faults, [])
  for (const id of MEASURE_IDS) t.match(stdout, new RegExp(`^${id} `, 'm'))
  t.match(readFileSync(join(out, 'latest.svg'), 'utf8'), /^<svg [\s\S]*<\/svg>\n$/)
  t.match(directoryOf(stdout), /^creditd-bench-/)
  t.notOk(isLeft(directoryOf(stdout)), 'the directory is gone, and the cluster with it')
})

t.test('Ctrl-C in the middle ends everything that was started', async (t) => {
  const args = ['--import=tsx', join('bench', 'run.ts'), '--tiny', '--no-build', '--seconds', '20']
  const bench = spawn(process.execPath, args, { cwd: ROOT, env: plainEnvironment() })
  const ended = once(bench, 'exit', { signal: AbortSignal.timeout(RUN_TIMEOUT_MS) })
  let stdout = ''
  for await (const chunk of bench.stdout) {
    stdout += chunk
    if (stdout.includes('round 1')) break
  }
  const directory = directoryOf(stdout)
  t.ok(isLeft(directory), 'it runs')
  const pid = Number(readPid(directory))
  t.ok(isAlive(pid), 'and its database server')
  bench.kill('SIGINT')
  t.same(await ended, [130, null])
  t.notOk(isAlive(pid))
  t.notOk(isLeft(directory))
})

t.test('an option that makes no sense is one line, and nothing is started', async (t) => {
  const bench = run(
    process.execPath,
    ['--import=tsx', join('bench', 'run.ts'), '--measures', 'P99', '--no-build'],
    { cwd: ROOT, timeout: RUN_TIMEOUT_MS, env: plainEnvironment() },
  )
  await t.rejects(bench, { code: 1, stderr: /no such measure: P99; there are P1, / })
})

t.test('options are read, or refused with what they take', (t) => {
  const given = { profile: 'quick', ...nothing } as const
  t.equal(readOptions({ ...given, seconds: '2', rounds: '7' }, MEASURE_IDS).durationMs, 2_000)
  t.same(readOptions({ ...given, measures: 'p1, P12' }, MEASURE_IDS).measures, ['P1', 'P12'])
  t.same(readOptions({ ...given, connections: '8,16' }, MEASURE_IDS).connections, [8, 16])
  t.equal(readOptions({ ...given, commitDelayUs: '1000' }, MEASURE_IDS).commitDelayUs, 1_000)
  for (const rounds of ['0', '-1', '1.5', 'x', '', '51']) {
    t.throws(() => readOptions({ ...given, rounds }, MEASURE_IDS), /--rounds takes/, rounds)
  }
  t.end()
})

t.test('a request of a run is the same whenever it is asked for', (t) => {
  const shape = {
    ...{ seed: 1, run: 2, apiKey: 'key', host: 'here', accounts: 10_000, hasKeys: true },
    ...{ refusedPercent: 30, bulk: 1, isLimited: false },
  }
  const ask = createAsks(shape)
  t.same(ask(17), createAsks(shape)(17))
  const texts = Array.from({ length: 1_000 }, (_, i) => ask(i))
  t.equal(new Set(texts.map(({ text }) => text)).size, 1_000, 'each has its own key')
  const refused = texts.filter(({ amount }) => amount > 1_000_000).length
  t.ok(refused > 250 && refused < 350, `${refused} of 1000 can not be paid`)
  t.ok(new Set(texts.map(({ text }) => text.split('/')[3])).size > 900, 'over many accounts')
  const [head = '', body = ''] = ask(3).text.split('\r\n\r\n')
  t.match(head, `content-length: ${body.length}`)
  t.notMatch(createAsks({ ...shape, hasKeys: false })(3).text, 'idempotency-key')
  t.match(createAsks({ ...shape, isLimited: true })(3).text, /\non-behalf-of: user-\d+\r\n/)
  t.end()
})

t.test('a reply is whole only when all its bytes have come, however they are cut', (t) => {
  const head = 'HTTP/1.1 201 Created\r\nContent-Length: 12\r\nidempotent-replayed: true'
  const text = `${head}\r\n\r\n{"a":"\r\n\r\n"}`
  for (let cut = 1; cut < text.length; cut += 1) {
    const reply = emptyReply()
    t.notOk(takeBytes(reply, Buffer.from(text.slice(0, cut)), true))
    t.ok(takeBytes(reply, Buffer.from(text.slice(cut)), true), `cut at ${cut}`)
    t.match(reply, { status: 201, isReplay: true, text: '{"a":"\r\n\r\n"}' })
    clearReply(reply)
    t.ok(takeBytes(reply, Buffer.from(text), true), 'and the next one likewise')
  }
  t.throws(() => takeBytes(emptyReply(), Buffer.from(`${text}more`), false), /more bytes/)
  const chunked = Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
  t.throws(() => takeBytes(emptyReply(), chunked, false), /without content-length/)
  t.end()
})

t.test('quantiles are right to a few per cent', (t) => {
  const histogram = createHistogram()
  t.equal(histogram.quantile(0.5), 0)
  for (let us = 1; us <= 10_000; us += 1) histogram.record(us)
  for (const share of [0.01, 0.5, 0.95, 0.99, 1]) {
    const ratio = histogram.quantile(share) / (share * 10_000)
    t.ok(ratio >= 1 && ratio < 1.03, `${share}: ${ratio}`)
  }
  t.end()
})

t.test('a verdict knows which way is better, and what was not measured has failed', (t) => {
  const [p1, p6] = ['P1', 'P6'].map((id) => judge([], null, [id])[0])
  if (!p1 || !p6) throw new Error('P1 and P6 are gone')
  t.equal(p1.verdict, 'below floor', 'nothing was measured')
  t.same(
    [0.99, 1, 1.99, 2].map((value) => verdictOf(p1.measure, value)),
    ['below floor', 'floor', 'floor', 'goal'],
  )
  t.same(
    [3.1, 3, 2.1, 2].map((value) => verdictOf(p6.measure, value)),
    ['below floor', 'floor', 'floor', 'goal'],
  )
  t.end()
})

t.test('a ratio is taken within each round, and the median counts', (t) => {
  const round = (charges: number, pgbench: number) => ({
    charges: sample(charges),
    pgbench: sample(pgbench),
  })
  const [result] = judge([round(10, 1), round(30, 10), round(8, 4)], null, ['P1'])
  t.same(result?.value, { median: 3, min: 2, max: 10 })
  t.end()
})

const nothing = {
  measures: undefined,
  rounds: undefined,
  seconds: undefined,
  connections: undefined,
  seed: undefined,
  commitDelayUs: undefined,
}

const sample = (rate: number) => ({
  ...{ rate, operations: 1, p50Us: null, p99Us: null, statuses: {}, othersCpus: 0 },
  cpuUs: { service: 0, postgres: 0, generator: 0 },
})

const readPid = (directory: string): string =>
  readFileSync(join(tmpdir(), directory, 'postgres', 'data', 'postmaster.pid'), 'utf8').split(
    '\n',
    1,
  )[0] ?? ''

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Without what the test runner puts into the environment of its children. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, ...rest } = process.env
  return Object.fromEntries(Object.entries(rest).filter(([name]) => !name.startsWith('TAP')))
}
