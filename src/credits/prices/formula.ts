import { Environment, ParseError } from '@marcbachmann/cel-js'
import { AppError } from '../../errors.js'
import { compileExpression, type Expression, formulaError } from './expression.js'
import type { Fraction } from './fraction.js'
import * as fractions from './fraction.js'

/** What a caller may say about the thing to be priced; each number is taken digit by digit. */
export type Variables = Readonly<Record<string, number>>

export type Formula = {
  readonly text: string
  /** The variables it needs, in order of appearance; `quantity` among them if it is mentioned. */
  readonly variables: readonly string[]
  readonly expression: Expression
}

export const MAX_FORMULA_CHARACTERS = 1_000
export const MAX_VARIABLES = 50
/** How many things the request is about; a formula may mention it like a variable. */
export const QUANTITY = 'quantity'

/** `limits` bound the parser's recursion and the work of one evaluation. */
const grammar = new Environment({
  unlistedVariablesAreDyn: true,
  limits: { maxAstNodes: 300, maxDepth: 30, maxCallArguments: 20 },
})
const BRACED_NAME = /\{(\s*[A-Za-z_][A-Za-z0-9_]*\s*)\}/g
const PRINTABLE = /^[\x20-\x7e\t\r\n]*$/
const MAX_CREDITS = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * Reads a formula such as `tokens * 0.001 + 10` (also written `{tokens} * 0.001 + 10`): numbers,
 * variables, `+ - * / %`, comparisons, `&& || !`, `a ? b : c`, and min, max, ceil, floor, round
 * (halves away from zero) and abs. Throws AppError `formula_error` when it can not be read, or
 * when trying it shows that it can never give a price.
 */
export function parseFormula(text: string): Formula {
  if (text.length > MAX_FORMULA_CHARACTERS) {
    throw formulaError(`A formula has at most ${MAX_FORMULA_CHARACTERS} characters`)
  }
  if (!PRINTABLE.test(text)) throw formulaError('A formula is written in plain ASCII')
  // Blanks for braces, so that positions stay those of the text.
  const expression = parseText(text.replace(BRACED_NAME, ' $1 '))
  const variables = expression.names
  if (variables.length > MAX_VARIABLES) {
    throw formulaError(`A formula has at most ${MAX_VARIABLES} variables`)
  }
  const formula: Formula = { text, variables, expression }
  refuseHopeless(formula)
  return formula
}

function parseText(text: string): Expression {
  try {
    return compileExpression(text, grammar.parse(text).ast)
  } catch (error) {
    if (!(error instanceof ParseError)) throw error
    const at = error.range === undefined ? '' : ` at character ${error.range.start + 1}`
    throw formulaError(`The formula can not be read: ${error.summary}${at}`, error)
  }
}

/**
 * The price in whole credits: exact, times `quantity` unless the formula itself mentions it, and
 * then rounded up, once. Throws AppError `missing_variable` (with `variable`) and `formula_error`
 * (division by zero, a negative price, one beyond 2^53 − 1).
 */
export function evaluate(formula: Formula, variables: Variables, quantity = 1): number {
  const exact = exactValue(formula, variables, quantity)
  if (exact.over < 0n) throw formulaError('The formula gives a negative price')
  const credits = fractions.ceil(exact)
  if (credits > MAX_CREDITS) throw formulaError('The formula gives a price beyond 2^53 - 1')
  return Number(credits)
}

function exactValue(formula: Formula, variables: Variables, quantity: number): Fraction {
  const scope = formula.variables.map((name) => given(name, variables, quantity))
  const value = formula.expression.run(scope)
  if (quantity === 1 || formula.variables.includes(QUANTITY)) return value
  const product = fractions.multiply(value, fractions.wholeNumber(quantity))
  if (product === null) throw formulaError('The formula gives a price beyond 2^53 - 1')
  return product
}

function given(name: string, variables: Variables, quantity: number): Fraction {
  if (name === QUANTITY) return fractions.wholeNumber(quantity)
  // Own properties only: a variable may be called `constructor`.
  const value = Object.hasOwn(variables, name) ? variables[name] : undefined
  if (value === undefined) {
    throw new AppError('missing_variable', `The price needs the variable ${name}`, {
      variable: name,
    })
  }
  const exact =
    typeof value === 'number' && Number.isFinite(value) ? fractions.fromNumber(value) : null
  if (exact === null) throw formulaError(`The variable ${name} is not a finite number`)
  return exact
}

const SAMPLES = [0, 1, 1_000, 1_000_000, 1_000_000_000]
/** Tried one variable at a time, the others being 0, so that `input - output` can be positive. */
const LARGE = 1_000_000

/**
 * A formula without variables is settled here. Of others only this much can be known: it fails
 * whatever is tried, or it is sometimes negative and never positive. One that can go either way
 * is refused when it does.
 */
function refuseHopeless(formula: Formula): void {
  if (formula.variables.length === 0) {
    evaluate(formula, {})
    return
  }
  const tries = samples(formula.variables).map((variables) => signOf(formula, variables))
  const signs = tries.filter((result) => typeof result === 'bigint')
  const [failure] = tries.filter((result) => result instanceof AppError)
  if (signs.length === 0 && failure !== undefined) throw failure
  if (signs.some((sign) => sign < 0n) && !signs.some((sign) => sign > 0n)) {
    throw formulaError('The formula gives a negative price')
  }
}

function samples(names: readonly string[]): Variables[] {
  const set = (value: (name: string, index: number) => number): Variables =>
    Object.fromEntries(names.map((name, index) => [name, value(name, index)]))
  return [
    ...SAMPLES.map((sample) => set(() => sample)),
    ...names.map((large) => set((name) => (name === large ? LARGE : 0))),
    // All different, so that `1 / (a - b)` is not taken for a division by zero.
    set((_, index) => LARGE + index * index),
    set((_, index) => LARGE - index * index),
  ]
}

/** The sign of the value, or why there is none. */
function signOf(formula: Formula, variables: Variables): bigint | AppError {
  try {
    return exactValue(formula, variables, Math.max(1, variables[QUANTITY] ?? 1)).over
  } catch (error) {
    if (error instanceof AppError) return error
    throw error
  }
}
