import type pg from 'pg';
import type { ActivityDependencies } from './dependencies.ts';
import { withTarget } from './with-target.ts';

/** Digest of the cluster's identity and of every definition in the database; data is not part of it. */
export async function readDatabaseFingerprint(client: pg.Client): Promise<string> {
  const found = await client.query<{ fingerprint: string }>(
    'select sluice.fn_database_fingerprint() as fingerprint',
  );
  return found.rows[0]?.fingerprint ?? '';
}

/** The activity: what an approval or a release is bound to. */
export function readFingerprint(dependencies: ActivityDependencies) {
  return ({ target }: { target: string }): Promise<string> =>
    withTarget(dependencies, target, 'fingerprint', ({ client }) => readDatabaseFingerprint(client));
}
