import pg from 'pg';
import { BASE_FILES, ENABLE, UNIT_FILES, WORKER_FILES } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';
import type { ChaosCluster } from './chaos-cluster.ts';
import { ROUTES_SQL } from './chaos-events.ts';
import { installMovedClock } from './moved-clock.ts';

/**
 * `chaos_witness`: each writing transaction leaves its token here, so that whether it was committed is known
 * from the transaction itself and not from the table under test. `position`: numbers attempts in the order in which
 * they were inserted; runs are serialised by the cursor's lock, and a number drawn is never given twice.
 */
const WITNESS_SQL = `
  create table chaos_witness (token text primary key, xact_id xid8 not null default pg_current_xact_id());
  alter table iu_route_attempt add column position bigserial`;

/** Installs outbox and worker with open gates, the routes, the witness and the clock; changes the worker at last. */
export async function createChaosDatabase(
  cluster: ChaosCluster,
  name: string,
  change: (client: pg.Client) => Promise<void> = async () => undefined,
): Promise<() => string> {
  await connected(cluster.url(), (client) => client.query(`create database ${pg.escapeIdentifier(name)}`));
  const url = () => cluster.url(name);
  await connected(url(), async (client) => {
    for (const path of [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE]) await applyFile(client, path);
    await client.query(ROUTES_SQL);
    await client.query(WITNESS_SQL);
    await installMovedClock(client);
    await change(client);
  });
  return url;
}

/** A client for one piece of work on a server that is left in peace. */
export async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'chaos' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
