import { Decimal } from 'decimal.js'
import fc from 'fast-check'
import t from 'tap'
import { evaluate, parseFormula } from '../../src/credits/prices/formula.js'
import { AppError } from '../../src/errors.js'
import {
  DividedByZero,
  decimal,
  NAMES,
  type Ratio,
  roundUp,
  type Term,
  terms,
  textOf,
  worth,
} from './formula-model.js'

const price = (text: string, variables: Record<string, number> = {}, quantity = 1): number =>
  evaluate(parseFormula(text), variables, quantity)

const refusal = (run: () => unknown): { code: string; message: string; fields: object } => {
  try {
    run()
  } catch (error) {
    if (error instanceof AppError) {
      return { code: error.code, message: error.message, fields: error.fields }
    }
    throw error
  }
  return { code: 'none', message: '', fields: {} }
}

const MAX = Number.MAX_SAFE_INTEGER

t.test('a price is exact and rounded up once', async (t) => {
  t.equal(price('tokens * 0.001 + 10', { tokens: 3500 }), 14, '13.5 goes up')
  t.equal(price('tokens * 0.001 + 10', { tokens: 3000 }), 13, '13 stays')
  t.equal(price('tokens * 0.001 + 10', { tokens: 3001 }), 14)
  t.equal(price('{tokens} * 0.001 + { base }', { tokens: 3500, base: 10 }), 14)
  t.equal(price('(0.1 + 0.2) * 10'), 3, 'floats would say 4')
  t.equal(price('x * 3 * 10', { x: 0.1 }), 3, 'a variable is its decimal text')
  t.equal(price('x + y', { x: 0.1, y: 0.2 }), 1)
  t.equal(price('(x + y) * 10', { x: 0.1, y: 0.2 }), 3)
  t.equal(price('2 / 3 * 3'), 2, 'rounded decimals would say 3')
  t.equal(price('1 / 2 * 4'), 2, 'no whole-number division')
  t.equal(price('1.1 * 1.1 * 100'), 121)
  t.equal(price('0.0000001 * x', { x: 1e7 }), 1)
  t.equal(price('1e-7 * x', { x: 10_000_001 }), 2)
  t.equal(price('1.00000000000000000001 * 1'), 2, 'all digits of a literal count')
  t.equal(price('0'), 0)
  t.equal(price('10 - x', { x: -2 }), 12)
  t.equal(price('x', { x: -0 }), 0)
})

t.test('each operator and function means what it says', async (t) => {
  const cases: [string, number][] = [
    ['2 + 3 * 4', 14],
    ['(2 + 3) * 4', 20],
    ['10 - 2 - 3', 5],
    ['7 % 4', 3],
    ['7.5 % 2', 2],
    ['10 + -7 % 4', 7],
    ['min(3, 1, 2)', 1],
    ['max(3, 1, 2)', 3],
    ['max(0, 5)', 5],
    ['abs(-3)', 3],
    ['ceil(1.2) + ceil(-1.2) + 5', 6],
    ['floor(1.8) + floor(-1.2) + 5', 4],
    ['round(2.5)', 3],
    ['round(2.4)', 2],
    ['10 + round(-2.5)', 7],
    ['1 < 2 ? 10 : 20', 10],
    ['1 >= 2 ? 10 : 20', 20],
    ['1 == 1.0 && 2 != 3 || false ? 1 : 2', 1],
    ['!(1 < 2) ? 1 : 2', 2],
    ['(1 < 2 ? 3 < 4 : false) ? 5 : 6', 5],
    ['1 > 2 ? 1 / 0 : 4', 4],
    ['1 < 2 || 1 / 0 > 1 ? 3 : 4', 3],
    ['2 * 3 // and a remark', 6],
  ]
  for (const [text, expected] of cases) t.equal(price(text), expected, text)
})

t.test('the quantity multiplies before rounding, unless the formula mentions it', async (t) => {
  t.equal(price('tokens * 0.001', { tokens: 500 }, 4), 2, '0.5 × 4, not 1 × 4')
  t.equal(price('quantity * 3 + 1', {}, 4), 13)
  t.equal(price('quantity > 10 ? 1 : 2', {}, 4), 2)
  t.equal(price('quantity', { quantity: 9 }, 4), 4, 'a variable can not pose as it')
})

t.test('a missing variable is named', async (t) => {
  const missing = refusal(() => price('tokens * rate', { tokens: 1 }))
  t.match(missing, { code: 'missing_variable', message: /rate/, fields: { variable: 'rate' } })
  t.equal(refusal(() => price('1 > 2 ? x : 1')).code, 'missing_variable', 'in any branch')
  for (const name of ['constructor', 'toString', 'hasOwnProperty', 'valueOf']) {
    t.match(
      refusal(() => price(`${name} * 2`)),
      { code: 'missing_variable' },
      name,
    )
    t.equal(price(`${name} * 2`, { [name]: 3 }), 6)
  }
  t.equal(price('5', { unused: 3 }), 5, 'one too many does no harm')
})

t.test('what gives no price is refused when it happens', async (t) => {
  const cases: [string, Record<string, number>, RegExp][] = [
    ['1 / x', { x: 0 }, /divides by zero/],
    ['1 % x', { x: 0 }, /divides by zero/],
    ['10 / (x - y)', { x: 3, y: 3 }, /divides by zero/],
    ['x', { x: Number.NaN }, /not a finite number/],
    ['x', { x: Number.POSITIVE_INFINITY }, /not a finite number/],
    ['10 - x', { x: 11 }, /negative/],
    ['10 - x', { x: 10.0000001 }, /negative/],
    ['x * x * x * x * x', { x: 1e308 }, /too long/],
    ['x', { x: MAX + 1 }, /beyond 2\^53 - 1/],
    ['x + 0.5', { x: MAX }, /beyond 2\^53 - 1/],
    ['x', { x: 1e300 }, /beyond 2\^53 - 1/],
  ]
  for (const [text, variables, message] of cases) {
    t.match(
      refusal(() => price(text, variables)),
      { code: 'formula_error', message },
      text,
    )
  }
  t.match(
    refusal(() => price('x', { x: MAX }, 2)),
    { code: 'formula_error' },
  )
  const posing = { x: '3' } as unknown as Record<string, number>
  t.match(
    refusal(() => price('x', posing)),
    { code: 'formula_error' },
  )
})

t.test('prices reach 2^53 - 1 exactly', async (t) => {
  t.equal(price('x', { x: MAX }), MAX)
  t.equal(price('x - 0.5', { x: MAX }), MAX)
  t.equal(price('x + 0.5', { x: MAX - 1 }), MAX)
  t.equal(price('9007199254740992 - 1'), MAX, 'literals are no doubles')
  t.equal(price('90071992547409.91 * 100'), MAX)
  t.equal(price('9007199254740993 / 3 * 2'), 6004799503160662)
  t.equal(price('x / 1e300', { x: 1e300 }), 1)
  t.equal(price('x * 0 + 1', { x: 5e-324 }), 1)
})

t.test('a formula that can not be read is refused when it is saved', async (t) => {
  const unreadable = [
    '',
    ' ',
    'tokens *',
    '* tokens',
    '(tokens',
    'tokens)',
    'tokens tokens',
    '2tokens',
    '1..2',
    '1.2.3',
    '.5',
    '5.',
    '0x10',
    '10u',
    '1e999',
    '1e-999',
    'a = 1',
    'a & b',
    '"10"',
    "'a' + 'b'",
    '[1, 2].map(x, x)',
    '[1, 2][0]',
    '{tokens: 1}',
    '{tokens-in}',
    'a.b',
    'a["b"]',
    'process.pid',
    'constructor.constructor("return 1")()',
    'this.x',
    '__proto__',
    'has(a.b)',
    'cel.bind(x, 1, x)',
    'size("abc")',
    'int(1)',
    'type(1)',
    'eval(1)',
    'pow(2, 3)',
    'toString(1)',
    'min()',
    'min',
    'ceil(1, 2)',
    'x < 3',
    'true',
    'null',
    'x in [1]',
    'x + true',
    '!x ? 1 : 2',
    'x ? 1 : 2',
    '1 < 2 < 3 ? 1 : 2',
    'true == true ? 1 : 2',
    'x > 1 ? 2 : false',
    'x && true ? 1 : 2',
    'tokens\u0000',
    'tökens',
  ]
  for (const text of unreadable) {
    const refused = refusal(() => parseFormula(text))
    t.match(refused, { code: 'formula_error' }, JSON.stringify(text))
    t.notMatch(
      refused.message,
      /\n|undefined|\[object/,
      `${JSON.stringify(text)}: ${refused.message}`,
    )
  }
})

t.test('a formula that can only fail is refused when it is saved', async (t) => {
  const hopeless: [string, RegExp][] = [
    ['-1', /negative/],
    ['5 - 10', /negative/],
    ['-0.0001', /negative/],
    ['0 - tokens', /negative/],
    ['tokens * -0.001', /negative/],
    ['-tokens - pages', /negative/],
    ['min(0, 5 - x)', /negative/],
    ['0 - quantity', /negative/],
    ['1 / 0', /divides by zero/],
    ['x / (2 - 2)', /divides by zero/],
    ['9007199254740992', /beyond/],
  ]
  for (const [text, message] of hopeless) {
    t.match(
      refusal(() => parseFormula(text)),
      { code: 'formula_error', message },
      text,
    )
  }
})

t.test('a formula that may succeed is kept', async (t) => {
  const hopeful = [
    'tokens - 10',
    '10 - tokens',
    'input * 0.001 - output * 0.002',
    '1 / tokens',
    '1 / (a - b)',
    '1 / ((a - b) * (b - c) * (a - c))',
    'quantity - 5',
    '0',
    'tokens * 0',
    'x * 1e15',
  ]
  for (const text of hopeful) t.equal(refusal(() => parseFormula(text)).code, 'none', text)
})

t.test('a formula has limits', async (t) => {
  const long = (count: number) => Array.from({ length: count }, (_, n) => `v${n}`).join('+')
  t.equal(refusal(() => parseFormula(long(50))).code, 'none')
  t.match(
    refusal(() => parseFormula(long(51))),
    { message: /at most 50 variables/ },
  )
  t.match(
    refusal(() => parseFormula('1 '.padEnd(1_001))),
    { message: /at most 1000/ },
  )
  t.equal(refusal(() => parseFormula('1 '.padEnd(1_000))).code, 'none')
  t.match(
    refusal(() => parseFormula(`${'('.repeat(40)}1${')'.repeat(40)}`)),
    {
      code: 'formula_error',
    },
  )
  t.match(
    refusal(() => parseFormula(`${'-'.repeat(900)}1`)),
    { code: 'formula_error' },
  )
  t.match(
    refusal(() => parseFormula(`1${'+1'.repeat(400)}`)),
    { code: 'formula_error' },
  )
  t.match(
    refusal(() => parseFormula('1 < 2 ? '.repeat(100))),
    { code: 'formula_error' },
  )
})

t.test('the slowest formula that the limits allow takes milliseconds', async (t) => {
  const names = Array.from({ length: 50 }, (_, n) => `v${n}`)
  const text = `abs(${names.map((a, n) => `${a}/${names[(n * 7 + 1) % 50]}`).join('+')})`
  const variables = Object.fromEntries(names.map((name, n) => [name, Math.PI ** (n + 1) * 1e80]))
  const formula = parseFormula(text)
  const start = process.hrtime.bigint()
  t.match(
    refusal(() => evaluate(formula, variables)),
    { code: 'formula_error' },
  )
  t.ok(process.hrtime.bigint() - start < 250_000_000n, 'a fraction of a second, loaded or not')
})

t.test('variables are listed in order of appearance, once', async (t) => {
  t.same(parseFormula('b * a + {b} + max(c, a)').variables, ['b', 'a', 'c'])
  t.equal(parseFormula('{b} + 1').text, '{b} + 1')
})

const values = fc.record(
  Object.fromEntries(
    NAMES.map((name) => [
      name,
      fc.oneof(fc.nat(1_000), fc.constantFrom('0.1', '0.2', '3.75', '1e-7', '2.5e+21')),
    ]),
  ),
)

const asNumbers = (given: Readonly<Record<string, number | string>>): Record<string, number> =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [name, Number(value)]))

const asRatios = (given: Readonly<Record<string, number | string>>): Record<string, Ratio> =>
  Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, decimal(String(value).replace('+', ''))]),
  )

/** What the formula must answer: the credits, or the code. */
function expected(term: Term, given: Record<string, Ratio>, quantity: number): number | string {
  try {
    const [top, bottom] = worth(term, given)
    if (top < 0n) return 'formula_error'
    const credits = roundUp([top * BigInt(quantity), bottom])
    return credits > BigInt(MAX) ? 'formula_error' : Number(credits)
  } catch (error) {
    if (error instanceof DividedByZero) return 'formula_error'
    throw error
  }
}

t.test('any formula is worth what schoolbook fractions say', async (t) => {
  let [priced, refused] = [0, 0]
  const property = fc.property(
    terms,
    values,
    fc.integer({ min: 1, max: 1_000_000 }),
    fc.boolean(),
    (term, given, quantity, braced) => {
      const text = textOf(term, braced)
      fc.pre(text.length <= 1_000)
      const answer = expected(term, asRatios(given), quantity)
      if (typeof answer === 'number') priced += 1
      else refused += 1
      const saved = refusal(() => parseFormula(text))
      // Only what the samples show can be refused early; then it must be an error here as well.
      if (saved.code !== 'none' && answer === 'formula_error') return true
      if (saved.code !== 'none') return /negative|zero|beyond|long/.test(saved.message)
      const got = refusal(() => evaluate(parseFormula(text), asNumbers(given), quantity))
      if (got.code !== 'none') return got.code === answer
      return evaluate(parseFormula(text), asNumbers(given), quantity) === answer
    },
  )
  const outcome = fc.check(property, { numRuns: 5_000 })
  t.notOk(outcome.failed, fc.defaultReportMessage(outcome) ?? 'all alike')
  t.ok(priced > 1_000 && refused > 100, `${priced} priced, ${refused} refused`)
})

t.test('sums and products are what decimal arithmetic says', async (t) => {
  const Exact = Decimal.clone({ precision: 5_000, rounding: Decimal.ROUND_CEIL })
  const number = fc.oneof(
    fc.double({ min: 0, max: 1e6, noNaN: true }),
    fc.double({ min: 1e-12, max: 1, noNaN: true }),
    fc.maxSafeNat(),
  )
  const property = fc.property(number, number, number, (a, b, c) => {
    const exact = new Exact(a).times(b).plus(c).ceil()
    const answer = exact.gt(MAX) ? 'formula_error' : exact.toNumber()
    const got = refusal(() => price('a * b + c', { a, b, c }))
    return got.code === 'none' ? price('a * b + c', { a, b, c }) === answer : got.code === answer
  })
  const outcome = fc.check(property, { numRuns: 5_000 })
  t.notOk(outcome.failed, fc.defaultReportMessage(outcome) ?? 'all alike')
})
