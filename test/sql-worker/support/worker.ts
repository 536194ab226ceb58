import type pg from 'pg';

export interface WorkerRun {
  readonly status: string;
  readonly seen: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
  readonly cursor_event_id: string | null;
  readonly cursor_created_at: string | null;
}

export async function runWorker(client: pg.Client, limit = 100, cursor = 'iu_outbound_default'): Promise<WorkerRun> {
  return ask<WorkerRun>(client, 'select fn_iu_route_worker_run($1, $2) as answer', [cursor, limit]);
}

/** Emits one event and answers its id. */
export async function emit(client: pg.Client, payload: object = {}, type = 'version_applied'): Promise<string> {
  return ask<string>(
    client,
    `select fn_iu_emit_event('iu', $1, 'docs/a.md#b', null, $2, 'a test') as answer`,
    [type, JSON.stringify(payload)],
  );
}

/** The column `answer` of the only row. */
export async function ask<T>(client: pg.Client, sql: string, values: unknown[] = []): Promise<T> {
  const { rows } = await client.query<{ answer: T }>(sql, values);
  const [row] = rows;
  if (row === undefined || rows.length > 1) throw new Error(`${rows.length} rows of ${sql}`);
  return row.answer;
}

/** The SQLSTATE that a statement is refused with, or `none`. */
export async function sqlstateOf(refused: Promise<unknown>): Promise<string> {
  return refused.then(
    () => 'none',
    (error: { code?: string }) => error.code ?? String(error),
  );
}

/** Waits until a question is answered `true`; fails after ten seconds. */
export async function until(client: pg.Client, sql: string, values: unknown[] = []): Promise<void> {
  for (const end = Date.now() + 10_000; ; ) {
    if (await ask<boolean>(client, sql, values)) return;
    if (Date.now() > end) throw new Error(`still not true: ${sql}`);
  }
}
