import type pg from 'pg';
import { waitFor } from '../../support/wait-for.ts';

/** Waits until so many sessions wait for what the holder has, and answers their names. */
export function untilBlocks(
  sql: pg.Client,
  holder: pg.Client,
  sessions = 1,
  withinMs = 60_000,
): Promise<string[]> {
  return waitFor(async () => {
    const { rows } = await sql.query<{ name: string }>(
      `select application_name as name
       from pg_stat_activity
       where $1 = any (pg_blocking_pids(pid))`,
      [(holder as pg.Client & { processID?: number }).processID],
    );
    return rows.length >= sessions ? rows.map((row) => row.name) : null;
  }, withinMs);
}
