import { randomInt } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ChaosCluster, startChaosCluster } from './chaos-cluster.ts';
import { chaosFailures } from './chaos-failures.ts';
import { runChaos } from './run-chaos.ts';
import { HORIZON_AFTER_THE_ROWS, HORIZON_AS_A_FILTER, installWrongCursor, NAIVE } from './wrong-cursors.ts';

/** So little that the right cursor is held to it, too: what is found here is the rule's fault, not the load's. */
const EVENTS = 4_000;
const SEEDS = 5;

let cluster: ChaosCluster;
beforeAll(async () => {
  cluster = await startChaosCluster();
});
afterAll(async () => {
  await cluster.stop();
});

test.each([NAIVE, HORIZON_AS_A_FILTER, HORIZON_AFTER_THE_ROWS])(
  '$name: events are lost, and found missing',
  {
    timeout: 300_000,
  },
  async (wrong) => {
    for (let tried = 1; ; tried += 1) {
      const seed = randomInt(2 ** 31);
      const report = await runChaos({
        cluster,
        seed,
        events: EVENTS,
        crashes: 0,
        clock: 'left alone',
        change: (client) => installWrongCursor(client, wrong),
      });
      const { lost, lostStories } = report.verdict;
      process.stdout.write(`chaos: ${wrong.name}: seed ${seed}, ${lost} of ${report.events} lost\n`);
      if (lost === 0 && tried < SEEDS) continue;
      expect(lost).toBeGreaterThan(0);
      expect(lostStories[0]).toMatch(/^[0-9a-f-]{36} /);
      expect(chaosFailures(report)).toContain(`${lost} committed events were lost`);
      return;
    }
  },
);

test('the right cursor loses nothing of as few events', { timeout: 120_000 }, async () => {
  const report = await runChaos({
    cluster,
    seed: randomInt(2 ** 31),
    events: EVENTS,
    crashes: 0,
    clock: 'left alone',
  });
  expect(chaosFailures(report)).toEqual([]);
});
