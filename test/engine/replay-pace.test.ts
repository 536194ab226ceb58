import { expect, test } from 'vitest';
import { Pace } from '../../replay/pace.ts';

/** A pace on a clock that the test moves. */
function paceAt(ratePerSecond: number | null) {
  const clock = { nowMs: 0 };
  const pace = new Pace(() => clock.nowMs);
  pace.set(ratePerSecond);
  return { pace, clock };
}

/** Letters that are tried within so many milliseconds by somebody who takes all that he may. */
function tried(pace: Pace, clock: { nowMs: number }, withinMs: number, batchSize = 500): number {
  let letters = 0;
  for (const endMs = clock.nowMs + withinMs; clock.nowMs < endMs; clock.nowMs += 1) {
    if (pace.waitMs(batchSize) > 0) continue;
    const taken = pace.take(batchSize);
    pace.spend(taken);
    letters += taken;
  }
  return letters;
}

test.each([0.5, 1, 7, 100, 1_234, 50_000])('%d a second are as many in ten seconds, and not more', (rate) => {
  const { pace, clock } = paceAt(rate);
  const letters = tried(pace, clock, 10_000);
  expect(letters).toBeLessThanOrEqual(1 + rate * 10);
  expect(letters).toBeGreaterThanOrEqual(Math.floor(rate * 9.8));
});

test('without a rate every batch is whole', () => {
  const { pace } = paceAt(null);
  expect([pace.take(500), pace.waitMs(500)]).toEqual([500, 0]);
});

test('it begins with one letter', () => {
  const { pace } = paceAt(100);
  expect(pace.take(500)).toBe(1);
});

test('after a long pause there is one second of letters, not the whole pause', () => {
  const { pace, clock } = paceAt(100);
  clock.nowMs = 3_600_000;
  expect(pace.take(500)).toBe(100);
});

test('batches of a rate are a tenth of a second each, so that a transaction is worth it', () => {
  const { pace, clock } = paceAt(1_000);
  pace.spend(1);
  expect(pace.waitMs(500)).toBe(100);
  clock.nowMs = 100;
  expect([pace.waitMs(500), pace.take(500)]).toEqual([0, 100]);
});

test('a smaller batch is waited for no longer than it takes', () => {
  const { pace } = paceAt(1_000);
  pace.spend(1);
  expect(pace.waitMs(10)).toBe(10);
});

test('a new rate counts at once, and brings nothing along', () => {
  const { pace, clock } = paceAt(1_000);
  clock.nowMs = 1_000;
  pace.set(2);
  expect(pace.take(500)).toBe(2);
  pace.spend(2);
  expect(pace.waitMs(500)).toBe(500);
  pace.set(1_000);
  clock.nowMs = 1_100;
  expect(pace.take(500)).toBe(100);
});
