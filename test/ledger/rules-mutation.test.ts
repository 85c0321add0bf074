import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import ts from 'typescript'
import type { decide } from '../../src/ledger/rules.js'
import { ROOT } from '../helpers/cluster.js'
import { steps } from './model-steps.js'
import { createWorld, playBoth, resolve } from './model-world.js'
import { MUTANTS, type Mutant } from './rules-mutants.js'

/** Histories after which a fault that did not show is taken for missed. */
const HISTORIES = 6000
/** Of those the rules as they are must stand. */
const HARMLESS = 100
/** The same ones each time: a fault is found or not, never by luck. */
const SEED = 7

Error.stackTraceLimit = 1

/** The rules with a fault in them, beside the real errors. */
async function rulesOf(directory: string, mutant?: Mutant): Promise<{ decide: typeof decide }> {
  const source = join(ROOT, 'src')
  mkdirSync(join(directory, 'ledger'), { recursive: true })
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  const errors = pathToFileURL(join(source, 'errors.js')).href
  writeFileSync(join(directory, 'errors.js'), `export * from '${errors}'`)
  for (const name of readdirSync(join(source, 'ledger'))) {
    if (!/(^draft|^lots|rules)\.ts$/.test(name)) continue
    const text = readFileSync(join(source, 'ledger', name), 'utf8')
    const script = toScript(name === mutant?.file ? mutated(mutant, text) : text)
    writeFileSync(join(directory, 'ledger', name.replace(/\.ts$/, '.js')), script)
  }
  return import(pathToFileURL(join(directory, 'ledger', 'rules.js')).href)
}

function mutated({ name, from, to }: Mutant, text: string): string {
  assert.equal(text.split(from).length, 2, `${name}: what it changes is there once: ${from}`)
  return text.replace(from, () => to)
}

function toScript(text: string): string {
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext }
  return ts.transpileModule(text, { compilerOptions }).outputText
}

/** How many histories passed before one differed from the model; null: none did. */
function shownAfter(rules: Parameters<typeof createWorld>[1], histories: number): number | null {
  const units = fc.constantFrom(1, 2 ** 49)
  const property = fc.property(units, steps([0, 0, 0, 5, 10], 80), (unit, sequence) => {
    const world = createWorld(unit, rules)
    for (const [index, step] of sequence.entries()) {
      world.nowMs += step.waitMs
      playBoth(world, resolve(world, step, index))
    }
  })
  const { failed, numRuns } = fc.check(property, {
    ...{ seed: SEED, numRuns: histories, endOnFailure: true },
  })
  return failed ? numRuns : null
}

t.test('the copy of the rules that faults are put into is as good as they are', async (t) => {
  t.equal(shownAfter(await rulesOf(join(t.testdir(), 'real')), HARMLESS), null)
})

for (const [index, mutant] of MUTANTS.entries()) {
  t.test(`the plain model shows when ${mutant.name}`, async (t) => {
    const after = shownAfter(await rulesOf(join(t.testdir(), String(index)), mutant), HISTORIES)
    t.comment(`after ${after} histories`)
    t.not(after, null)
  })
}
