import fc from 'fast-check'

/** A formula as data, from which the test makes both the text and the expected value. */
export type Term =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'binary'; readonly op: '+' | '-' | '*' | '/' | '%'; readonly args: Term[] }
  | { readonly kind: 'call'; readonly name: string; readonly args: Term[] }
  | { readonly kind: 'minus'; readonly args: Term[] }
  | { readonly kind: 'choice'; readonly op: string; readonly args: Term[] }

export type Ratio = readonly [over: bigint, under: bigint]

export const NAMES = ['tokens', 'pages', 'x']
const COMPARISONS = ['<', '<=', '>', '>=', '==', '!=']
const CALLS = ['min', 'max', 'abs', 'ceil', 'floor', 'round']

const literals = fc
  .tuple(
    fc.nat(5_000),
    fc.option(fc.stringMatching(/^[0-9]{1,4}$/)),
    fc.constantFrom('', 'e-3', 'e2'),
  )
  .map(([whole, part, power]) => `${whole}${part === null ? '' : `.${part}`}${power}`)

const ARITY: Readonly<Record<string, number>> = { min: 2, max: 3 }

export const terms: fc.Arbitrary<Term> = fc.letrec<{ term: Term }>((tie) => {
  const several = (count: number) => fc.array(tie('term'), { minLength: count, maxLength: count })
  return {
    term: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      literals.map((text): Term => ({ kind: 'literal', text })),
      fc.constantFrom(...NAMES).map((name): Term => ({ kind: 'variable', name })),
      fc.record({
        kind: fc.constant('binary' as const),
        op: fc.constantFrom('+' as const, '-' as const, '*' as const, '/' as const, '%' as const),
        args: several(2),
      }),
      fc.constantFrom(...CALLS).chain((name) =>
        fc.record({
          kind: fc.constant('call' as const),
          name: fc.constant(name),
          args: several(ARITY[name] ?? 1),
        }),
      ),
      fc.record({ kind: fc.constant('minus' as const), args: several(1) }),
      fc.record({
        kind: fc.constant('choice' as const),
        op: fc.constantFrom(...COMPARISONS),
        args: several(4),
      }),
    ),
  }
}).term

/** Fully parenthesised: precedence is not what the model is about. */
export function textOf(term: Term, braced: boolean): string {
  if (term.kind === 'literal') return term.text
  if (term.kind === 'variable') return braced ? `{${term.name}}` : term.name
  const args = term.args.map((arg) => textOf(arg, braced))
  const [a, b, c, d] = args
  if (term.kind === 'binary') return `(${a} ${term.op} ${b})`
  if (term.kind === 'minus') return `(-${a})`
  if (term.kind === 'call') return `${term.name}(${args.join(', ')})`
  return `(${a} ${term.op} ${b} ? ${c} : ${d})`
}

export class DividedByZero extends Error {}

/** What the term is worth, by schoolbook fractions that are never reduced. */
export function worth(term: Term, variables: Readonly<Record<string, Ratio>>): Ratio {
  if (term.kind === 'literal') return decimal(term.text)
  if (term.kind === 'variable') return variables[term.name] ?? [0n, 1n]
  const value = (index: number): Ratio => worth(term.args[index] ?? term, variables)
  if (term.kind === 'minus') return times([-1n, 1n], value(0))
  if (term.kind === 'binary') return arithmetic(term.op, value(0), value(1))
  if (term.kind === 'choice') {
    return holds(term.op, value(0), value(1)) ? value(2) : value(3)
  }
  return called(
    term.name,
    term.args.map((_, index) => value(index)),
  )
}

export function decimal(text: string): Ratio {
  const [digits = '', power = '0'] = text.split('e')
  const [whole = '', part = ''] = digits.split('.')
  const shift = Number(power) - part.length
  const all = BigInt(whole + part)
  return shift < 0 ? [all, 10n ** BigInt(-shift)] : [all * 10n ** BigInt(shift), 1n]
}

const times = (a: Ratio, b: Ratio): Ratio => [a[0] * b[0], a[1] * b[1]]
const plus = (a: Ratio, b: Ratio): Ratio => [a[0] * b[1] + b[0] * a[1], a[1] * b[1]]
const minus = (a: Ratio, b: Ratio): Ratio => plus(a, [-b[0], b[1]])

function over(a: Ratio, b: Ratio): Ratio {
  if (b[0] === 0n) throw new DividedByZero()
  const [top, bottom] = [a[0] * b[1], a[1] * b[0]]
  return bottom < 0n ? [-top, -bottom] : [top, bottom]
}

function arithmetic(op: '+' | '-' | '*' | '/' | '%', a: Ratio, b: Ratio): Ratio {
  if (op === '+') return plus(a, b)
  if (op === '-') return minus(a, b)
  if (op === '*') return times(a, b)
  const quotient = over(a, b)
  if (op === '/') return quotient
  const whole = quotient[0] / quotient[1]
  return minus(a, times(b, [whole, 1n]))
}

function holds(op: string, a: Ratio, b: Ratio): boolean {
  const [left, right] = [a[0] * b[1], b[0] * a[1]]
  if (op === '<') return left < right
  if (op === '<=') return left <= right
  if (op === '>') return left > right
  if (op === '>=') return left >= right
  return op === '==' ? left === right : left !== right
}

function called(name: string, args: readonly Ratio[]): Ratio {
  const [first = [0n, 1n] as Ratio] = args
  if (name === 'min') return args.reduce((a, b) => (holds('<', b, a) ? b : a))
  if (name === 'max') return args.reduce((a, b) => (holds('>', b, a) ? b : a))
  if (name === 'abs') return first[0] < 0n ? [-first[0], first[1]] : first
  if (name === 'ceil') return [roundUp(first), 1n]
  if (name === 'floor') return [-roundUp([-first[0], first[1]]), 1n]
  const size = called('abs', [first])
  const nearest = -roundUp(minus([0n, 1n], plus(size, [1n, 2n])))
  return [first[0] < 0n ? -nearest : nearest, 1n]
}

/** The least whole number that is not below the ratio. */
export function roundUp([top, bottom]: Ratio): bigint {
  const cut = top / bottom
  return cut * bottom < top ? cut + 1n : cut
}
