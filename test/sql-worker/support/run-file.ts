import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';

export const ROOT = join(import.meta.dirname, '../../..');

export interface CheckRow {
  readonly check_id: string;
  readonly verdict: string;
  readonly detail: string;
}

type Mode =
  | 'isolation level read committed, read write'
  | 'isolation level repeatable read, read only'
  | 'isolation level repeatable read, read write';

/** Applies a managed file as the engine does: one transaction, path and limits as SET LOCAL, committed. */
export async function applyFile(client: pg.Client, path: string): Promise<void> {
  await inTransaction(client, 'isolation level read committed, read write', 'commit', () =>
    client.query(textOf(path)),
  );
}

/** Runs a check or verification as the engine does: REPEATABLE READ, READ ONLY, rolled back. */
export async function readChecks(client: pg.Client, path: string, column = 'check_id'): Promise<CheckRow[]> {
  return inTransaction(client, 'isolation level repeatable read, read only', 'rollback', async () =>
    reported(await client.query(textOf(path)), column),
  );
}

/** Runs a probe as the engine does and answers its rows with the transaction's number. */
export async function tryProbe(
  client: pg.Client,
  path: string,
  before: () => Promise<void> = async () => undefined,
): Promise<{ xid: string; checks: CheckRow[] }> {
  return inTransaction(client, 'isolation level repeatable read, read write', 'rollback', async () => {
    const { rows } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    await before();
    return { xid: rows[0]?.xid ?? '', checks: reported(await client.query(textOf(path))) };
  });
}

/** Runs the file that proves a probe gone, as the engine does. */
export async function readAfter(client: pg.Client, path: string, xid: string): Promise<CheckRow[]> {
  return inTransaction(client, 'isolation level repeatable read, read only', 'rollback', async () => {
    await client.query("select set_config('sluice.probe_xid', $1, true)", [xid]);
    return reported(await client.query(textOf(path)));
  });
}

/** `P0 pass`, `P1 fail`, … : what a list of checks says, without its details. */
export function verdicts(checks: readonly CheckRow[]): string[] {
  return checks.map((check) => `${check.check_id.split(' ')[0]} ${check.verdict}`);
}

export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

async function inTransaction<T>(
  client: pg.Client,
  mode: Mode,
  end: 'commit' | 'rollback',
  work: () => Promise<T>,
): Promise<T> {
  await client.query(
    `begin ${mode};
     set local search_path = "public", pg_temp;
     set local lock_timeout = '2s';
     set local statement_timeout = '30s';
     set local client_min_messages = warning`,
  );
  try {
    const result = await work();
    await client.query(end);
    return result;
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

function reported(answered: unknown, column = 'check_id'): CheckRow[] {
  const results = (Array.isArray(answered) ? answered : [answered]) as pg.QueryResult<CheckRow>[];
  return results
    .filter((result) => result.fields?.some((field) => field.name === column))
    .flatMap((result) => result.rows);
}
