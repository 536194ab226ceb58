import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { deliveryFailures } from './support/delivery-verdict.ts';
import { type RandomReport, type RandomRun, randomRun } from './support/random-run.ts';
import { ENDLESS_LEASE, WITHOUT_LEASE } from './support/wrong-delivery.ts';

/** Requests in vain are those of lost workers: less than this share. */
const MOST_IN_VAIN = 0.3;

async function told(name: string, options: Omit<RandomRun, 'seed'>): Promise<RandomReport> {
  const seed = Number(process.env.SLUICE_FAULT_SEED ?? randomInt(2 ** 31));
  process.stdout.write(`delivery faults: ${name}: seed ${seed}\n`);
  const report = await randomRun({ seed, ...options });
  process.stdout.write(`delivery faults: ${JSON.stringify(report)}\n`);
  return report;
}

const failuresOf = ({ seed, verdict, requests }: RandomReport): string[] => {
  const failures = deliveryFailures(verdict);
  if (verdict.unrecorded > requests * MOST_IN_VAIN)
    failures.push(`${verdict.unrecorded} of ${requests} in vain`);
  return failures.length === 0 ? [] : [`seed ${seed}`, ...failures];
};

test('3,000 events for a healthy, a flaky and a dead target, workers killed and stopped, gates and routes switched: nothing is lost, nothing takes effect twice', {
  timeout: 240_000,
  // What is lost once in a while is lost.
  retry: 0,
}, async () => {
  const report = await told('as it is', { events: 3_000, kills: 5, stops: 2, patienceMs: 90_000 });
  expect(failuresOf(report)).toEqual([]);
  // Nothing of that would say much if nothing had happened.
  const { verdict, attempts, done } = report;
  expect(verdict.events).toBe(3_000);
  expect(done).toMatchObject({ kill: 5, 'stop or continue': 4, gate: 3, 'dry run': 3 });
  const happened = {
    sent: verdict.sent,
    'in dry run, or dead': verdict.leftOut + verdict.dead,
    'blocked by a gate': (attempts['healthy blocked'] ?? 0) + (attempts['flaky blocked'] ?? 0),
    'tries of a lost worker': verdict.unrecorded,
    'failed tries of the flaky target': attempts['flaky failed http_503'] ?? 0,
    'cut tries of the flaky target': attempts['flaky failed connection_cut'] ?? 0,
    'tries of the dead target': attempts['dead failed connect_refused'] ?? 0,
  };
  expect(Object.entries(happened).filter(([, count]) => count === 0)).toEqual([]);
});

test.each([
  { wrong: ENDLESS_LEASE, finds: /events are still queued/ },
  { wrong: WITHOUT_LEASE, finds: /in vain/ },
])('a run finds it where $wrong.name', { timeout: 180_000 }, async ({ wrong, finds }) => {
  const report = await told(wrong.name, { events: 1_000, kills: 1, stops: 0, wrong, patienceMs: 6_000 });
  expect(failuresOf(report).join('\n')).toMatch(finds);
});
