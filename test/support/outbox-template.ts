import pg from 'pg';
import { installBase } from '../sql-units/base-files.ts';
import { ENABLE, WORKER_FILES } from '../sql-worker/support/installed.ts';
import { applyFile } from '../sql-worker/support/run-file.ts';

/** All of IU Core with the worker's gate open, for a project of the command line. */
export const OUTBOX_TEMPLATE = {
  name: 'cli_outbox',
  build: async (url: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await installBase(client);
      for (const path of [...WORKER_FILES, ENABLE]) await applyFile(client, path);
    } finally {
      await client.end();
    }
  },
};
