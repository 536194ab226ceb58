import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test } from 'vitest';
import { stopCluster } from '../../local/start-cluster.ts';
import { BASE_FILES, ENABLE, SEAM_FILES, UNIT_FILES, WORKER_FILES } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';
import { runWorker, sqlstateOf, until } from '../sql-worker/support/worker.ts';
import { startOwnCluster } from '../support/own-cluster.ts';
import { claim, liveRoute, settle, tell, work } from './support/deliveries.ts';

test('a standby gives out no deliveries and says so, and the primary does', {
  timeout: 120_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-standby-'));
  chmodSync(dir, 0o777);
  const password = randomUUID();
  const primary = await startOwnCluster({ dir, password });
  const writer = new pg.Client({ connectionString: primary.adminUrl });
  await writer.connect();
  for (const path of [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE, ...SEAM_FILES])
    await applyFile(writer, path);
  await liveRoute(writer);
  await tell(writer, 2);
  await runWorker(writer);

  const standby = await startOwnCluster({ dir, password, standbyOf: primary.adminUrl });
  const reader = new pg.Client({ connectionString: standby.adminUrl });
  await reader.connect();
  await until(reader, 'select count(*) = 2 as answer from iu_route_delivery');
  expect(await sqlstateOf(claim(reader))).toBe('SL008');
  expect(await sqlstateOf(work(reader))).toBe('SL008');
  const lease = await claim(writer, 1);
  expect(await sqlstateOf(settle(reader, lease))).toBe('25006');
  expect(await settle(writer, lease)).toMatchObject({ settled: 1, sent: 1 });

  await Promise.all([writer.end(), reader.end()]);
  await stopCluster(standby.process);
  await stopCluster(primary.process);
  rmSync(dir, { recursive: true, force: true });
});
