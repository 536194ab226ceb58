import type pg from 'pg';
import { waitFor } from '../../support/wait-for.ts';

const PATIENCE_MS = 60_000;

/** Waits until a session waits for what the holder has, and answers its name. */
export function untilBlocks(sql: pg.Client, holder: pg.Client): Promise<string> {
  return waitFor(async () => {
    const { rows } = await sql.query<{ name: string }>(
      `select application_name as name
       from pg_stat_activity
       where $1 = any (pg_blocking_pids(pid))`,
      [pidOf(holder)],
    );
    return rows[0]?.name;
  }, PATIENCE_MS);
}

/** Waits until this session waits for a lock. */
export async function untilQueued(sql: pg.Client, session: pg.Client): Promise<void> {
  await waitFor(async () => {
    const found = await sql.query('select from pg_locks where pid = $1 and not granted', [pidOf(session)]);
    return found.rowCount !== 0;
  }, PATIENCE_MS);
}

function pidOf(client: pg.Client): number | undefined {
  return (client as pg.Client & { processID?: number }).processID;
}
