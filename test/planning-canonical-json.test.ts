import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from '../planning/canonical-json.ts';
import { sha256Hex } from '../planning/sha256-hex.ts';

const jsonObject = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue({ noUnicodeString: false }), {
  noNullPrototype: true,
});

describe('canonicalJson', () => {
  test('reads back as the value it was given', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test('is the same text for every order of keys', () => {
    fc.assert(
      fc.property(jsonObject, fc.infiniteStream(fc.nat()), (value, order) => {
        const entries = Object.entries(value).map((entry) => ({ entry, at: order.next().value }));
        const shuffled = Object.fromEntries(entries.sort((a, b) => a.at - b.at).map(({ entry }) => entry));
        expect(canonicalJson(shuffled)).toBe(canonicalJson(value));
      }),
    );
  });

  test('is a fixed point: writing what was read back gives the same text', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });

  test('sorts by UTF-16 unit, as RFC 8785 shows it', () => {
    const keys = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\u{1f600}': 5, '\u0080': 6, '\u00f6': 7 };
    const written = canonicalJson(keys);
    expect(Object.values(JSON.parse(written))).toHaveLength(7);
    expect([...written.matchAll(/:(\d)/g)].map((match) => match[1]).join('')).toBe('2467153');
  });

  test('writes numbers as RFC 8785 shows them, and minus zero as zero', () => {
    expect(canonicalJson([Number('333333333.33333329'), 1e30, 4.5, 2e-3, 1e-27, -0])).toBe(
      '[333333333.3333333,1e+30,4.5,0.002,1e-27,0]',
    );
  });

  test('leaves out properties that are undefined', () => {
    expect(canonicalJson({ b: undefined, a: [] })).toBe('{"a":[]}');
  });

  test.each([
    ['NaN', { a: [Number.NaN] }],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['undefined in a list', [undefined]],
    ['a hole in a list', new Array(1)],
    ['a bigint', { a: 1n }],
    ['a function', () => 1],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['a lone surrogate', { a: '\ud800' }],
    ['a lone surrogate in a key', { '\udc00': 1 }],
  ])('refuses %s', (_, value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  });
});

test('sha256Hex digests the UTF-8 bytes', () => {
  expect(sha256Hex('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(sha256Hex('ö')).toBe('6dbd11fd012e225b28a5d94a9b432bc491344f3e92158661be2ae5ae2b8b1ad8');
});
