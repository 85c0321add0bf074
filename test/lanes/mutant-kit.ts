import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { ROOT } from '../helpers/cluster.js'
import type { Kit } from './kit.js'
import type { Mutant } from './mutants.js'

/** All that the lanes import. */
const OF_THE_LANES = /^(lane|needs|plan|port|clock|state-cache|draft|lots)|rules\.ts$/

/** The ledger's sources with the fault in them, loaded beside the real ones. */
export async function kitOf(mutant: Mutant, directory: string): Promise<Kit> {
  const ledger = join(directory, 'ledger')
  mkdirSync(ledger, { recursive: true })
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  const source = join(ROOT, 'src')
  const sources = readdirSync(join(source, 'ledger'))
    .filter((name) => OF_THE_LANES.test(name))
    .map((name) => join('ledger', name))
  for (const name of [...sources, 'errors.ts']) {
    const text = readFileSync(join(source, name), 'utf8')
    const isMutated = mutant.file !== undefined && name === join('ledger', mutant.file)
    const file = join(directory, name.replace(/\.ts$/, '.js'))
    writeFileSync(file, toScript(isMutated ? mutated(mutant, text) : text))
  }
  const load = (name: string) => import(pathToFileURL(join(directory, name)).href)
  const { createLanes } = await load('ledger/lanes.js')
  const { createDatabaseClock } = await load('ledger/clock.js')
  const { PortError } = await load('ledger/port.js')
  const { AppError } = await load('errors.js')
  return { createLanes, createDatabaseClock, PortError, AppError }
}

function mutated({ name, from = '', to = '' }: Mutant, text: string): string {
  assert.equal(text.split(from).length, 2, `${name}: what it changes is there once: ${from}`)
  return text.replace(from, () => to)
}

const scripts = new Map<string, string>()

function toScript(text: string): string {
  const { ESNext } = ts.ModuleKind
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ESNext }
  const script = scripts.get(text) ?? ts.transpileModule(text, { compilerOptions }).outputText
  scripts.set(text, script)
  return script
}
