import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ChaosCluster, startChaosCluster } from './chaos-cluster.ts';
import { chaosFailures, chaosFigures } from './chaos-failures.ts';
import { runChaos } from './run-chaos.ts';

let cluster: ChaosCluster;
beforeAll(async () => {
  cluster = await startChaosCluster();
});
afterAll(async () => {
  await cluster.stop();
});

test('100,000 events survive kills, crashes, roll-backs and a clock that runs backwards: each is decided once', {
  timeout: 600_000,
  // What is lost once in a while is lost.
  retry: 0,
}, async () => {
  const seed = randomInt(2 ** 31);
  process.stdout.write(`chaos: seed ${seed}\n`);
  const report = await runChaos({ cluster, seed, events: 100_000, crashes: 1 });
  process.stdout.write(`chaos: ${chaosFigures(report)}\n`);
  expect(chaosFailures(report)).toEqual([]);
  expect(report.events).toBeGreaterThanOrEqual(100_000);
  // Nothing of that would say much if nothing had happened.
  const { writers, pollers, killer, verdict, clockSetBack } = report;
  expect(killer.crashes).toBe(1);
  const happened = {
    ...{ ...writers, ...pollers, clockSetBack },
    ...{ terminated: killer.terminated, cancelled: killer.cancelled },
    inversionsWhereNoOrderIsAskedFor: verdict.inversionsUnordered,
  };
  expect(Object.entries(happened).filter(([, count]) => count === 0)).toEqual([]);
});
