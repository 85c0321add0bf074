import type { Test } from 'tap'
import { assertReconciled, type Ground } from './kit-ground.js'

/** One end-to-end test that holds on every ground; its account ids are its own. */
export type Case = readonly [name: string, body: (t: Test, ground: Ground) => Promise<void>]

/** So many cases at once: they have accounts of their own and wait more than they work. */
const CASES_AT_ONCE = 4

/** Runs the cases on one ground, and looks at the books of all of them at the end. */
export const runCases = async (t: Test, ground: Ground, cases: readonly Case[]): Promise<void> => {
  t.jobs = CASES_AT_ONCE
  await Promise.all(
    cases.map(([name, body]) => t.test(name, { buffered: true }, (t) => body(t, ground))),
  )
  await t.test('in the end the books agree', (t) => assertReconciled(t, ground))
}

/** All whole numbers from the first to the last, each once. */
export const orderedEqual = (
  t: Test,
  numbers: readonly number[],
  first: number,
  last: number,
): void => {
  const wanted = Array.from({ length: last - first + 1 }, (_, i) => first + i)
  t.same(
    numbers.toSorted((a, b) => a - b),
    wanted,
    `${first} to ${last}, each once`,
  )
}
