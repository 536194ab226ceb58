import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { readManifest } from '../../planning/read-manifest.ts';
import { inTransaction } from '../../target/in-transaction.ts';

const MACROS = ['iu-core-base', 'event-worker', 'worker-live-dry-run'];
const ROOT = join(import.meta.dirname, '../..');

/** The limits of a run's transactions, and of the files' own. */
export const LIMITS = { schema: 'public', lockTimeoutMs: 3_000, statementTimeoutMs: 60_000 };

/** Installs IU Core with its worker's gate open: the files of the macros, in their order, as the engine runs them. */
export async function installIuCore(client: pg.Client): Promise<void> {
  for (const macro of MACROS) {
    const { path, manifest } = await readManifest(join(ROOT, 'macros', macro, 'macro.yaml'));
    for (const step of manifest.steps) {
      if (step.kind !== 'migrate' && step.kind !== 'enable') continue;
      for (const file of step.files) {
        const text = await readFile(join(dirname(path), file.do), 'utf8');
        await inTransaction(client, 'read write', LIMITS, () => client.query(text));
      }
    }
  }
}
