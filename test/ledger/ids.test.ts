import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { ACCOUNT_ID } from '../../src/http/schema.js'
import {
  canonicalJson,
  decodeId,
  digestOf,
  encodeId,
  keyDigest,
  NAMEABLE,
  newKey,
} from '../../src/ledger/ids.js'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const kinds = fc.constantFrom('txn', 'gr', 'hold')
const accountIds = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$/)
const seqs = fc.oneof(fc.integer({ min: 1 }), fc.constant(Number.MAX_SAFE_INTEGER))

/** An id as ours would be, around a text that ours would not have. */
const forged = (text: string | Uint8Array) => `txn_${Buffer.from(text).toString('base64url')}`

t.test('an id names the account and the seq it was made of', async () => {
  fc.assert(
    fc.property(kinds, accountIds, seqs, (kind, accountId, seq) => {
      assert.deepEqual(decodeId(kind, encodeId(kind, accountId, seq)), { accountId, seq })
    }),
  )
})

t.test('the longest account id has ids too', async (t) => {
  const accountId = 'z'.repeat(128)
  const id = encodeId('hold', accountId, Number.MAX_SAFE_INTEGER)
  t.strictSame(decodeId('hold', id), { accountId, seq: Number.MAX_SAFE_INTEGER })
})

t.test('no two things have the same id', async () => {
  const names = fc.tuple(kinds, accountIds, seqs)
  fc.assert(
    fc.property(names, names, (one, other) => {
      const isSame = one.every((part, index) => part === other[index])
      assert.equal(encodeId(...one) === encodeId(...other), isSame)
    }),
  )
  assert.notEqual(encodeId('txn', '1:a', 1), encodeId('txn', 'a', 11))
})

t.test('an id of another kind is none', async (t) => {
  const id = encodeId('txn', 'ann', 7)
  t.equal(decodeId('gr', id), null)
  t.equal(decodeId('hold', id), null)
  t.equal(decodeId('gr', id.replace('txn', 'gr'))?.seq, 7, 'the kind is told by the prefix alone')
})

t.test('whatever is decoded is written in one way only', async () => {
  const text = fc.tuple(fc.string({ maxLength: 6 }), fc.string({ maxLength: 6 }))
  const ids = fc.oneof(
    fc.string().map((tail) => `txn_${tail}`),
    fc.stringMatching(/^txn_[A-Za-z0-9_-]{0,12}$/),
    text.map(([seq, account]) => forged(`${seq}:${account}`)),
    fc.uint8Array({ minLength: 1, maxLength: 12 }).map(forged),
  )
  fc.assert(
    fc.property(ids, (id) => {
      const named = decodeId('txn', id)
      if (named) assert.equal(encodeId('txn', named.accountId, named.seq), id)
    }),
    { numRuns: 2000 },
  )
})

t.test('a foreign or mangled id is none, and no error', async (t) => {
  const good = encodeId('txn', 'ann', 7)
  const texts = ['0:ann', '-1:ann', '1.5:ann', '01:ann', '1e3:ann', ' 1:ann', '+1:ann', '0x1:ann']
  const others = ['9007199254740992:ann', ':ann', '7:', 'ann', '12', 'NaN:ann', 'Infinity:ann']
  const mangled = [
    ...[...texts, ...others].map(forged),
    forged(Uint8Array.of(0x31, 0x3a, 0xff)),
    '',
    'txn',
    'txn_',
    'TXN_Nzphbm4',
    `${good}=`,
    `${good}\n`,
    ` ${good}`,
    `${good}A`,
    good.slice(0, -1),
    `txn_${'A'.repeat(10_000)}`,
    '5f0c1f6e-0000-4000-8000-000000000000',
  ]
  for (const id of mangled) t.equal(decodeId('txn', id), null, JSON.stringify(id).slice(0, 60))
  t.ok(decodeId('txn', good))
})

t.test('an id names nothing that is no account id', async (t) => {
  t.strictSame(NAMEABLE, ACCOUNT_ID, 'as the routes know them')
  for (const accountId of ['ann\0', '_ann', 'a b', 'é', 'a/b', 'z'.repeat(129)]) {
    t.equal(decodeId('txn', encodeId('txn', accountId, 7)), null, JSON.stringify(accountId))
  }
})

t.test('a digest is a uuid, the same for the same parts', async (t) => {
  t.match(digestOf('a', 'b'), UUID)
  t.equal(digestOf('a', 'b'), digestOf('a', 'b'))
  t.match(newKey(), UUID)
  t.not(newKey(), newKey())
})

t.test('where one part ends and the next begins makes another digest', async () => {
  const part = fc.string({ unit: fc.constantFrom('a', 'b', ':', '1', '2', 'é', ''), maxLength: 4 })
  const parts = fc.array(part, { maxLength: 4 })
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      const isSame = one.length === other.length && one.every((p, index) => p === other[index])
      assert.equal(digestOf(...one) === digestOf(...other), isSame)
    }),
    { numRuns: 2000 },
  )
  const alike = [['ab', 'c'], ['a', 'bc'], ['abc'], ['abc', ''], ['', 'abc'], ['2:ab1:c'], []]
  assert.equal(new Set(alike.map((each) => digestOf(...each))).size, alike.length)
})

t.test('the same key in two namespaces is two keys', async (t) => {
  const digests = [keyDigest('fact', 'k'), keyDigest('api', 'k'), keyDigest('session', 'k')]
  t.equal(new Set(digests).size, 3)
})

/** Equal to the value, with the members of all objects in another order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).map(([key, member]) => [key, reversed(member)])
  return Object.fromEntries(entries.toReversed())
}

const json = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)))

t.test('the order of members makes no other canonical text', async () => {
  fc.assert(
    fc.property(json, (value) => {
      assert.equal(canonicalJson(reversed(value)), canonicalJson(value))
    }),
  )
})

t.test('canonical text tells the value: distinct values have distinct texts', async (t) => {
  fc.assert(fc.property(json, (value) => assert.deepEqual(JSON.parse(canonicalJson(value)), value)))
  const values = [null, 0, '', '0', 'null', false, [], {}, [[]], [{}], { a: 1 }, { a: '1' }]
  const others = [[1, 2], [2, 1], [12], { a: null }, { a: { b: 1 } }, { a: 1, b: 1 }, '{}', '[]']
  const texts = [...values, ...others].map(canonicalJson)
  t.equal(new Set(texts).size, texts.length)
})

t.test('a member that is undefined is as good as missing, a date is its text', async (t) => {
  t.equal(canonicalJson({ a: undefined, b: 1 }), '{"b":1}')
  t.equal(canonicalJson({ at: new Date(0) }), '{"at":"1970-01-01T00:00:00.000Z"}')
  t.not(canonicalJson([new Date(0)]), canonicalJson([new Date(1)]))
})

t.test('a member called __proto__ is a member like any other', async (t) => {
  t.equal(canonicalJson(JSON.parse('{"__proto__": 1, "a": 2}')), '{"__proto__":1,"a":2}')
})
