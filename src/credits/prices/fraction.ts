/**
 * An exact rational number; `under` is positive, the two need not be in lowest terms. Fractions
 * rather than decimals, because a decimal of any length rounds 2 / 3 * 3 to something above 2,
 * and rounding up makes that a credit.
 */
export type Fraction = { readonly over: bigint; readonly under: bigint }

/** Numbers of more bits are refused: products of any three doubles fit, slow work does not. */
const MAX_BITS = 4_096n
const MAX_PART = 1n << MAX_BITS
/** Below this a greatest common divisor costs far more than it saves. */
const REDUCE_FROM = 1n << 2_048n

/** The decimal exponents a double can have, and a little more. */
const MAX_EXPONENT = 400
const DECIMAL = /^(-?)(\d{1,400})(?:\.(\d{1,400}))?(?:[eE]([+-]?\d{1,4}))?$/

export const wholeNumber = (value: number | bigint): Fraction => ({
  over: BigInt(value),
  under: 1n,
})

/** The number that a decimal text says, digit by digit; null when it is none, or out of range. */
export function parseDecimal(text: string): Fraction | null {
  const [matched, sign, whole = '', part = '', power = '0'] = DECIMAL.exec(text) ?? []
  if (matched === undefined) return null
  const exponent = Number(power) - part.length
  if (Math.abs(exponent) > MAX_EXPONENT) return null
  const digits = BigInt(`${sign}${whole}${part}`)
  const scale = 10n ** BigInt(Math.abs(exponent))
  return exponent < 0 ? fraction(digits, scale) : fraction(digits * scale, 1n)
}

/** A finite number, exactly as its shortest decimal text says it: 0.1 is one tenth. */
export const fromNumber = (value: number): Fraction | null =>
  Number.isSafeInteger(value) ? wholeNumber(value) : parseDecimal(String(value))

export const add = (a: Fraction, b: Fraction): Fraction | null =>
  a.under === b.under
    ? fraction(a.over + b.over, a.under)
    : fraction(a.over * b.under + b.over * a.under, a.under * b.under)

export const negate = (a: Fraction): Fraction => ({ over: -a.over, under: a.under })

export const subtract = (a: Fraction, b: Fraction): Fraction | null => add(a, negate(b))

export const multiply = (a: Fraction, b: Fraction): Fraction | null =>
  fraction(a.over * b.over, a.under * b.under)

/** `b` must not be zero. */
export const divide = (a: Fraction, b: Fraction): Fraction | null =>
  b.over > 0n
    ? fraction(a.over * b.under, a.under * b.over)
    : fraction(-a.over * b.under, -a.under * b.over)

/** What is left of `a` after whole times `b`, with the sign of `a`; `b` must not be zero. */
export function remainder(a: Fraction, b: Fraction): Fraction | null {
  const rest = (a.over * b.under) % (b.over * a.under)
  return fraction(rest, a.under * b.under)
}

/** Negative, zero or positive, as `a` is below, equal to or above `b`. */
export function compare(a: Fraction, b: Fraction): bigint {
  return a.under === b.under ? a.over - b.over : a.over * b.under - b.over * a.under
}

export const isZero = (a: Fraction): boolean => a.over === 0n

export function floor(a: Fraction): bigint {
  const cut = a.over / a.under
  return a.over < 0n && cut * a.under !== a.over ? cut - 1n : cut
}

export const ceil = (a: Fraction): bigint => -floor(negate(a))

/** To the nearest whole number, halves away from zero. */
export function round(a: Fraction): bigint {
  if (a.over < 0n) return -round(negate(a))
  return (2n * a.over + a.under) / (2n * a.under)
}

/** Keeps a result small; null when it can not be. */
function fraction(over: bigint, under: bigint): Fraction | null {
  if (fits(over, under, REDUCE_FROM)) return { over, under }
  const divisor = greatestCommonDivisor(over < 0n ? -over : over, under)
  const least = { over: over / divisor, under: under / divisor }
  return fits(least.over, least.under, MAX_PART) ? least : null
}

const fits = (over: bigint, under: bigint, limit: bigint): boolean =>
  over < limit && -over < limit && under < limit

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [larger, smaller] = [a, b]
  while (smaller !== 0n) [larger, smaller] = [smaller, larger % smaller]
  return larger
}
