import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DeliveryFailure } from '../../delivery/delivery-outcome.ts';
import { nextTryDelayMs } from '../../delivery/next-try-delay.ts';
import { routeRetry, routeRetryFault } from '../../delivery/route-retry.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const STEPS = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];
const LAST = 1 - Number.EPSILON;

const failure = (retryAfterMs: number | null = null, mayRetry = true): DeliveryFailure => ({
  code: 'http_503',
  message: 'The target answered 503.',
  mayRetry,
  retryAfterMs,
});

describe('the next try', () => {
  test('comes at most after the step of the schedule, and there are ten tries', () => {
    const longest = (tries: number) =>
      nextTryDelayMs({ tries, failure: failure(), config: {}, random: () => LAST });
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(longest)).toEqual(STEPS.slice(1));
    expect(longest(10)).toBeNull();
    expect(longest(1_000)).toBeNull();
  });

  test('comes anywhere between at once and the step, and nowhere else', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.double({ min: 0, max: LAST, noNaN: true }),
        (tries, chance) => {
          const ms = nextTryDelayMs({ tries, failure: failure(), config: {}, random: () => chance });
          expect(Number.isInteger(ms) && Number(ms) >= 0 && Number(ms) <= Number(STEPS[tries])).toBe(true);
        },
      ),
    );
    expect(nextTryDelayMs({ tries: 9, failure: failure(), config: {}, random: () => 0 })).toBe(0);
  });

  test('spreads over the whole step', () => {
    const delays = Array.from({ length: 2_000 }, () =>
      nextTryDelayMs({ tries: 9, failure: failure(), config: {} }),
    );
    const tenths = new Set(delays.map((ms) => Math.min(9, Math.floor((Number(ms) / (24 * HOUR)) * 10))));
    expect(tenths.size).toBe(10);
  });

  test('does not come where another try cannot help, even when the target asked for one', () => {
    expect(nextTryDelayMs({ tries: 1, failure: failure(5, false), config: {} })).toBeNull();
    expect(nextTryDelayMs({ tries: 1, failure: failure(5, false), config: { retry: 'never' } })).toBeNull();
  });

  test('waits as long as the target asked, up to the ceiling of the route', () => {
    const askedFor = (ms: number, config = {}) =>
      nextTryDelayMs({ tries: 1, failure: failure(ms), config, random: () => 0 });
    expect(askedFor(90 * SECOND)).toBe(90 * SECOND);
    expect(askedFor(400 * 24 * HOUR)).toBe(24 * HOUR);
    expect(askedFor(HOUR, { retry: { retry_after_max: '10m' } })).toBe(10 * MINUTE);
    expect(askedFor(-5)).toBe(0);
  });

  test('is never before what was asked and never beyond step and ceiling', () => {
    const asked = fc.option(fc.integer({ min: -HOUR, max: 100 * HOUR }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), asked, fc.nat(48), (tries, retryAfterMs, hours) => {
        const config = { retry: { retry_after_max: `${hours}h` } };
        const ms = Number(nextTryDelayMs({ tries, failure: failure(retryAfterMs), config }));
        const least = Math.min(Math.max(0, retryAfterMs ?? 0), hours * HOUR);
        expect(ms).toBeGreaterThanOrEqual(least);
        expect(ms).toBeLessThanOrEqual(Math.max(least, Number(STEPS[tries])));
      }),
    );
  });

  test('follows the schedule of the route', () => {
    const config = { retry: { schedule: ['0s', '100ms', '2m'] } };
    const longest = (tries: number) =>
      nextTryDelayMs({ tries, failure: failure(), config, random: () => LAST });
    expect([1, 2, 3].map(longest)).toEqual([100, 2 * MINUTE, null]);
    const once = { retry: { schedule: ['0s'] } };
    expect(nextTryDelayMs({ tries: 1, failure: failure(), config: once })).toBeNull();
  });

  test.each([
    ['no mapping', 'often', /`config\.retry` has the wrong type/],
    ['an unknown key', { shedule: [] }, /Unknown key `shedule`.*Did you mean `schedule`/],
    ['no list', { schedule: '5s' }, /`config\.retry\.schedule` has the wrong type/],
    ['an empty list', { schedule: [] }, /at least one duration/],
    ['too many', { schedule: Array.from({ length: 51 }, () => '0s') }, /at most 50/],
    ['a number', { schedule: ['0s', 5] }, /`config\.retry\.schedule\.1` has the wrong type/],
    ['no duration', { schedule: ['0s', 'soon'] }, /`config\.retry\.schedule\.1` is not valid.*duration/],
    ['a negative one', { schedule: ['0s', '-5s'] }, /duration/],
    ['one without end', { schedule: ['0s', '99999h'] }, /at most 720h/],
    ['a first try that waits', { schedule: ['5s', '5s'] }, /The first try is made at once/],
    ['a ceiling that is none', { retry_after_max: 'never' }, /`config\.retry\.retry_after_max` is not valid/],
  ])('is refused for a retry that is malformed: %s', (_, retry, why) => {
    expect(routeRetryFault({ retry })).toMatch(why);
    expect(() => routeRetry({ retry })).toThrowError(expect.objectContaining({ code: 'route_refused' }));
    expect(() => nextTryDelayMs({ tries: 1, failure: failure(), config: { retry } })).toThrow(why);
  });

  test('takes a route that says nothing, or other things', () => {
    expect(routeRetryFault({})).toBeNull();
    expect(routeRetryFault({ text_path: 'body' })).toBeNull();
    expect(routeRetry({})).toEqual({ schedule: STEPS, retryAfterMaxMs: 24 * HOUR });
  });
});
