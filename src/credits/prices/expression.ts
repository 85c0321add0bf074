import type { ASTNode } from '@marcbachmann/cel-js'
import { AppError } from '../../errors.js'
import type { Fraction } from './fraction.js'
import * as fractions from './fraction.js'

/** The values of the variables, in the order of `Expression.names`. */
type Scope = readonly Fraction[]
type NumberNode = { readonly kind: 'number'; readonly run: (scope: Scope) => Fraction }
type TruthNode = { readonly kind: 'truth'; readonly run: (scope: Scope) => boolean }
type Node = NumberNode | TruthNode

/** A checked expression; `names` are its variables in order of appearance. */
export type Expression = {
  readonly names: readonly string[]
  /** Throws AppError `formula_error` where there is no value: a division by zero, for example. */
  readonly run: (scope: Scope) => Fraction
}

type Compiler = { readonly text: string; readonly names: string[] }

/**
 * Turns a parsed expression into closures over exact fractions. The CEL library reads the text;
 * we evaluate, because its numbers are floats and 64-bit integers. Only what is named here
 * exists: no lists, strings, fields or macros, so an evaluation is never longer than its text.
 */
export function compileExpression(text: string, ast: ASTNode): Expression {
  const compiler: Compiler = { text, names: [] }
  const { run } = number(compiler, ast)
  return { names: compiler.names, run }
}

export const formulaError = (message: string, cause?: unknown): AppError =>
  new AppError('formula_error', message, {}, cause)

function compile(compiler: Compiler, node: ASTNode): Node {
  switch (node.op) {
    case 'value':
      return literal(compiler, node)
    case 'id':
      return variable(compiler, node.args)
    case '?:':
      return choice(compiler, node.args)
    case 'call':
      return call(compiler, node.args[0], node.args[1])
    case '-_':
      return negation(number(compiler, node.args))
    case '!_':
      return inversion(truth(compiler, node.args))
    case '&&':
    case '||':
      return logical(compiler, node.op, node.args)
    case '==':
    case '!=':
      return equality(compiler, node.op, node.args)
    default:
      return binary(compiler, node)
  }
}

function number(compiler: Compiler, node: ASTNode): NumberNode {
  const compiled = compile(compiler, node)
  if (compiled.kind === 'number') return compiled
  throw formulaError(`A number is needed ${place(node)}, not true or false`)
}

function truth(compiler: Compiler, node: ASTNode): TruthNode {
  const compiled = compile(compiler, node)
  if (compiled.kind === 'truth') return compiled
  throw formulaError(`A condition is needed ${place(node)}, not a number`)
}

const place = (node: ASTNode): string => `at character ${node.start + 1}`

function literal(compiler: Compiler, node: ASTNode): Node {
  const value: unknown = node.args
  if (typeof value === 'boolean') return { kind: 'truth', run: () => value }
  // From the text: the parsed value is a double and has lost digits beyond the 17th.
  const exact = fractions.parseDecimal(compiler.text.slice(node.start, node.end))
  if (exact === null) throw formulaError(`A decimal number is needed ${place(node)}`)
  return { kind: 'number', run: () => exact }
}

function variable(compiler: Compiler, name: string): NumberNode {
  if (Object.hasOwn(FUNCTIONS, name)) throw formulaError(`The function ${name} needs ( )`)
  if (!compiler.names.includes(name)) compiler.names.push(name)
  const index = compiler.names.indexOf(name)
  return { kind: 'number', run: (scope) => bounded(scope[index] ?? null) }
}

function choice(compiler: Compiler, [ask, yes, no]: [ASTNode, ASTNode, ASTNode]): Node {
  const condition = truth(compiler, ask)
  const left = compile(compiler, yes)
  const right = compile(compiler, no)
  if (left.kind === 'number' && right.kind === 'number') {
    return { kind: 'number', run: (s) => (condition.run(s) ? left.run(s) : right.run(s)) }
  }
  if (left.kind === 'truth' && right.kind === 'truth') {
    return { kind: 'truth', run: (s) => (condition.run(s) ? left.run(s) : right.run(s)) }
  }
  throw formulaError(`Both branches of ?: must be numbers ${place(yes)}`)
}

const negation = ({ run }: NumberNode): NumberNode => ({
  kind: 'number',
  run: (scope) => fractions.negate(run(scope)),
})

const inversion = ({ run }: TruthNode): TruthNode => ({
  kind: 'truth',
  run: (scope) => !run(scope),
})

function logical(compiler: Compiler, op: '&&' | '||', args: [ASTNode, ASTNode]): TruthNode {
  const left = truth(compiler, args[0])
  const right = truth(compiler, args[1])
  if (op === '&&') return { kind: 'truth', run: (s) => left.run(s) && right.run(s) }
  return { kind: 'truth', run: (s) => left.run(s) || right.run(s) }
}

function equality(compiler: Compiler, op: '==' | '!=', args: [ASTNode, ASTNode]): TruthNode {
  const left = number(compiler, args[0])
  const right = number(compiler, args[1])
  const wanted = op === '=='
  return {
    kind: 'truth',
    run: (s) => (fractions.compare(left.run(s), right.run(s)) === 0n) === wanted,
  }
}

const COMPARISONS: Readonly<Record<string, (order: bigint) => boolean>> = {
  '<': (order) => order < 0n,
  '<=': (order) => order <= 0n,
  '>': (order) => order > 0n,
  '>=': (order) => order >= 0n,
}

type Arithmetic = (a: Fraction, b: Fraction) => Fraction | null

const ARITHMETIC: Readonly<Record<string, Arithmetic>> = {
  '+': fractions.add,
  '-': fractions.subtract,
  '*': fractions.multiply,
  '/': (a, b) => fractions.divide(a, notZero(b)),
  '%': (a, b) => fractions.remainder(a, notZero(b)),
}

function notZero(value: Fraction): Fraction {
  if (fractions.isZero(value)) throw formulaError('The formula divides by zero')
  return value
}

function binary(compiler: Compiler, node: ASTNode): Node {
  const arithmetic = Object.hasOwn(ARITHMETIC, node.op) ? ARITHMETIC[node.op] : undefined
  const comparison = Object.hasOwn(COMPARISONS, node.op) ? COMPARISONS[node.op] : undefined
  if (arithmetic === undefined && comparison === undefined) {
    throw formulaError(`Formulas know numbers only: not understood ${place(node)}`)
  }
  const [first, second] = node.args as [ASTNode, ASTNode]
  const left = number(compiler, first)
  const right = number(compiler, second)
  if (comparison !== undefined) {
    return { kind: 'truth', run: (s) => comparison(fractions.compare(left.run(s), right.run(s))) }
  }
  return { kind: 'number', run: (s) => bounded(arithmetic?.(left.run(s), right.run(s)) ?? null) }
}

function bounded(value: Fraction | null): Fraction {
  if (value === null) throw formulaError('A number in the formula became too long')
  return value
}

type NumberFunction = (values: readonly [Fraction, ...Fraction[]]) => Fraction

const FUNCTIONS: Readonly<Record<string, NumberFunction>> = {
  min: (values) => values.reduce((a, b) => (fractions.compare(b, a) < 0n ? b : a)),
  max: (values) => values.reduce((a, b) => (fractions.compare(b, a) > 0n ? b : a)),
  abs: ([value]) => (value.over < 0n ? fractions.negate(value) : value),
  ceil: ([value]) => fractions.wholeNumber(fractions.ceil(value)),
  floor: ([value]) => fractions.wholeNumber(fractions.floor(value)),
  round: ([value]) => fractions.wholeNumber(fractions.round(value)),
}
/** These take any number of arguments (the parser's limit apart); the others one. */
const VARIADIC: ReadonlySet<string> = new Set(['min', 'max'])

function call(compiler: Compiler, name: string, nodes: readonly ASTNode[]): NumberNode {
  const apply = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (apply === undefined) {
    const known = Object.keys(FUNCTIONS).join(', ')
    throw formulaError(`There is no function ${name}; there are ${known}`)
  }
  const [first, ...rest] = nodes.map((node) => number(compiler, node))
  if (first === undefined || (rest.length > 0 && !VARIADIC.has(name))) {
    throw formulaError(
      `The function ${name} takes ${VARIADIC.has(name) ? 'numbers' : 'one number'}`,
    )
  }
  return {
    kind: 'number',
    run: (scope) => apply([first.run(scope), ...rest.map((node) => node.run(scope))]),
  }
}
