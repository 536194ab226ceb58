import pg from 'pg';
import { BASE_FILES, ENABLE, UNIT_FILES, WORKER_FILES } from '../../sql-worker/support/installed.ts';
import { applyFile } from '../../sql-worker/support/run-file.ts';
import { createDatabase, type TestDatabase } from '../../support/create-database.ts';

const SEAM_FILES = [
  'sql/iu-core/migrations/010_delivery_seam.sql',
  'sql/iu-core/functions/delivery_breaker.sql',
  'sql/iu-core/functions/delivery_dispatch.sql',
  'sql/iu-core/functions/delivery_claim.sql',
  'sql/iu-core/functions/delivery_settle.sql',
  'sql/iu-core/migrations/011_live_route_guard.sql',
];

/** Installs IU Core with the seam built, the worker's gate open and the delivery gate closed. */
export async function installDelivering(client: pg.Client): Promise<void> {
  for (const path of [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE, ...SEAM_FILES])
    await applyFile(client, path);
}

/** A database of its own with all of that. */
export async function delivering(major: 15 | 18): Promise<TestDatabase> {
  return createDatabase({
    major,
    prefix: 'sql_delivering',
    template: {
      name: 'iu_core_delivering_own',
      build: async (url) => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        try {
          await installDelivering(client);
        } finally {
          await client.end();
        }
      },
    },
  });
}
