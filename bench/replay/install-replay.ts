import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { readManifest } from '../../planning/read-manifest.ts';
import { inTransaction } from '../../target/in-transaction.ts';
import { addRoute, installDelivery } from '../delivery/deliveries.ts';
import { LIMITS } from '../drain/install-iu-core.ts';
import { createFunction, FUNCTION } from './told-function.ts';

const REPLAY = join(import.meta.dirname, '../../macros/dead-letter-replay/macro.yaml');

/** Codes of the routes, which are also the types of their events. */
export const ROUTES = { sql: 'told', http: 'posted' } as const;

/**
 * IU Core with deliveries and planned replays, all gates open, and two live routes whose targets are broken: a function
 * that raises, and an endpoint at which nobody listens, each given one try.
 */
export async function installReplay(client: pg.Client, brokenUrl: string): Promise<void> {
  await installDelivery(client);
  const { path, manifest } = await readManifest(REPLAY);
  for (const step of manifest.steps) {
    if (step.kind !== 'migrate') continue;
    for (const file of step.files) {
      const text = await readFile(join(dirname(path), file.do), 'utf8');
      await inTransaction(client, 'read write', LIMITS, () => client.query(text));
    }
  }
  await createFunction(client, 'raises');
  await client.query('grant usage on schema bench to iu_core_owner');
  await client.query(
    `update dot_config
     set value = concat_ws(',', nullif(value, ''), case key when 'iu_core.delivery_functions' then $1 else $2 end)
     where key in ('iu_core.delivery_functions', 'iu_core.delivery_live_routes')`,
    [FUNCTION, ROUTES.sql],
  );
  await client.query(
    `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
     values ($1, 'iu', $1, 'sql_function', $2, true, false)`,
    [ROUTES.sql, FUNCTION],
  );
  await addRoute(client, ROUTES.http, brokenUrl, { retry: { schedule: ['0s'] } });
}
