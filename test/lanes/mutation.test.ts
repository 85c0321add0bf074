import { join } from 'node:path'
import t from 'tap'
import type { Flaw } from './fake-database.js'
import { FIRST_POINTS, type Guarantee, tryGuarantee } from './fine-print.js'
import { CROWD_POINTS } from './fine-print-crowds.js'
import { FAULT_POINTS } from './fine-print-faults.js'
import { REPEAT_POINTS } from './fine-print-repeats.js'
import { kitOf } from './mutant-kit.js'
import { MUTANTS, type Mutant } from './mutants.js'
import { play } from './scenario.js'

// LANES_MUTANT_RUNS=… also looks for the first seed of the simulation that shows each fault.
const runs = Number(process.env.LANES_MUTANT_RUNS ?? 0)
const GUARANTEES = [...FIRST_POINTS, ...FAULT_POINTS, ...CROWD_POINTS, ...REPEAT_POINTS]

/** The guarantees of its point that a fault breaks. */
async function brokenBy(mutant: Mutant, directory: string): Promise<string[]> {
  const kit = await kitOf(mutant, directory)
  const flaws = new Set<Flaw>(mutant.flaw ? [mutant.flaw] : [])
  const isBroken = async (guarantee: Guarantee) => {
    try {
      await tryGuarantee(guarantee, kit, flaws)
      return false
    } catch {
      return true
    }
  }
  const broken: string[] = []
  for (const guarantee of GUARANTEES.filter(({ point }) => point === mutant.point)) {
    if (await isBroken(guarantee)) broken.push(guarantee.name)
  }
  for (let seed = 1; seed <= runs; seed += 1) {
    const message = await play(seed, kit, flaws).then(() => null, String)
    if (message) return [...broken, `simulation: seed ${seed}: ${message}`]
  }
  return broken
}

const only = process.env.LANES_MUTANT
for (const [index, mutant] of MUTANTS.entries()) {
  if (only && !mutant.name.includes(only)) continue
  t.test(`fine print ${mutant.point} is missed when ${mutant.name}`, async (t) => {
    const broken = await brokenBy(mutant, join(t.testdir(), String(index)))
    for (const name of broken) t.comment(name)
    t.not(broken.length, 0, 'a guarantee of the point breaks')
  })
}
