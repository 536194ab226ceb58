import type pg from 'pg';
import { installed, LEVELS } from '../../sql-worker/support/installed.ts';
import { applyFile } from '../../sql-worker/support/run-file.ts';
import type { TestDatabase } from '../../support/create-database.ts';

/** Installs IU Core with the seam built, the worker's gate open and the delivery gate closed. */
export async function installDelivering(client: pg.Client): Promise<void> {
  for (const path of LEVELS.delivering) await applyFile(client, path);
}

/** A database of its own with all of that. */
export function delivering(major: 15 | 18): Promise<TestDatabase> {
  return installed(major, 'delivering');
}
