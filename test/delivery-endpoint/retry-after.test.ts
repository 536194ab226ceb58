import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { retryAfterMs } from '../../delivery/retry-after.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const DAY_MS = 86_400_000;

describe('Retry-After', () => {
  test.each([
    ['seconds', '120', 120_000],
    ['zero', '0', 0],
    ['white space around it', ' 5 ', 5_000],
    ['a date', 'Sun, 01 Mar 2026 12:02:00 GMT', 120_000],
    ['a date of RFC 850', 'Sunday, 01-Mar-26 12:02:00 GMT', 120_000],
    ['a date of asctime', 'Sun Mar  1 12:02:00 2026', 120_000],
    ['a date that is past', 'Sun, 01 Mar 2020 12:00:00 GMT', 0],
    ['ten years', String(10 * 365 * 86_400), DAY_MS],
    ['a date in ten years', 'Fri, 01 Mar 2036 12:00:00 GMT', DAY_MS],
    ['more digits than a number has', '9'.repeat(400), DAY_MS],
  ])('is honoured, never below zero and never above the ceiling: %s', (_, header, expected) => {
    expect(retryAfterMs(header, NOW, DAY_MS)).toBe(expected);
  });

  test.each([
    ['negative', '-5'],
    ['a fraction', '1.5'],
    ['hexadecimal', '0x10'],
    ['words', 'soon'],
    ['what Date.parse would take', '2026-03-01'],
    ['two values', '5, 10'],
    ['a month that is none', 'Sun, 01 Mai 2026 12:02:00 GMT'],
    ['a day that is none', 'Sun, 99 Mar 2026 12:02:00 GMT'],
    ['empty', ''],
    ['missing', undefined],
  ])('is passed over when it is no wait: %s', (_, header) => {
    expect(retryAfterMs(header, NOW, DAY_MS)).toBeNull();
  });

  test('is null or within zero and the ceiling, for any text and any second', () => {
    const header = fc.oneof(
      fc.string(),
      fc.bigInt().map(String),
      fc.date({ noInvalidDate: true }).map((d) => d.toUTCString()),
    );
    fc.assert(
      fc.property(header, fc.nat(10 * DAY_MS), (text, ceiling) => {
        const ms = retryAfterMs(text, NOW, ceiling);
        expect(ms === null || (ms >= 0 && ms <= ceiling)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
