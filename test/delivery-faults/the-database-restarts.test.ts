import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ChaosCluster, startChaosCluster } from '../chaos/chaos-cluster.ts';
import { connected } from '../chaos/chaos-database.ts';
import { attempts, openDeliveries, queueEvents } from '../delivery-activity/support/deliveries.ts';
import { BASE_FILES, ENABLE, SEAM_FILES, UNIT_FILES, WORKER_FILES } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';
import { deliveryFailures, deliveryVerdict } from './support/delivery-verdict.ts';
import { deliverNow, queued, signedRoute } from './support/faulty.ts';
import { type Ledger, startLedger } from './support/ledger.ts';

const EVENTS = 2_000;
/** Requests after which the server dies. */
const CRASHES = [400, 1_200];

let cluster: ChaosCluster;
let ledger: Ledger;
beforeAll(async () => {
  ledger = await startLedger({ answer: () => delay(5).then(() => 200) });
  cluster = await startChaosCluster();
});
afterAll(async () => {
  await ledger.close();
  await cluster.stop();
});

test('PostgreSQL is killed twice in a flood of deliveries: nothing is lost, every key is sent', {
  timeout: 240_000,
}, async () => {
  const name = 'flood';
  await connected(cluster.url(), (sql) => sql.query(`create database ${pg.escapeIdentifier(name)}`));
  await connected(cluster.url(name), async (sql) => {
    for (const path of [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE, ...SEAM_FILES])
      await applyFile(sql, path);
    await openDeliveries(sql);
    await signedRoute(sql, 'out', ledger);
    await queueEvents(sql, 'out', EVENTS);
  });
  const port = new URL(cluster.url()).port;
  let isOver = false;
  let [sent, refused] = [0, 0];
  const worker = async () => {
    while (!isOver) {
      const counts = await deliverNow(cluster.url(name), { forMs: 2_000 });
      sent += counts.sent;
      refused += counts.refused;
    }
  };
  const workers = Promise.all([worker(), worker()]);
  workers.catch(() => undefined);
  for (const crash of CRASHES) {
    await Promise.race([ledger.until(crash), workers]);
    await cluster.crash();
  }
  expect(new URL(cluster.url()).port).toBe(port);
  await connected(cluster.url(name), async (sql) => {
    for (const until = Date.now() + 120_000; (await queued(sql, 'out')) > 0 && Date.now() < until; ) {
      await Promise.race([delay(200), workers]);
    }
    isOver = true;
    await workers;
    const verdict = await deliveryVerdict(sql, [ledger]);
    expect(deliveryFailures(verdict)).toEqual([]);
    expect(verdict).toMatchObject({ events: EVENTS, sent: EVENTS });
    expect(await attempts(sql, 'out')).toEqual({ sent: EVENTS });
    // Committed before a crash and told after it: the repetition is refused.
    expect(sent + refused).toBeGreaterThanOrEqual(EVENTS);
    expect(sent).toBeLessThanOrEqual(EVENTS);
  });
});
