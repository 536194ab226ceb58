import type pg from 'pg';

export interface WorkerRun {
  readonly status: string;
  readonly seen: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
  readonly cursor_event_id: string | null;
  readonly cursor_created_at: string | null;
}

/**
 * One run, once every committed event is below the high-water mark: it belongs to the whole server, on which
 * other tests hold transactions open.
 */
export async function runWorker(
  client: pg.Client,
  limit = 100,
  cursor = 'iu_outbound_default',
): Promise<WorkerRun> {
  await settled(client);
  return runNow(client, limit, cursor);
}

/** One run, whatever is still unsettled. */
export async function runNow(
  client: pg.Client,
  limit = 100,
  cursor = 'iu_outbound_default',
): Promise<WorkerRun> {
  return ask<WorkerRun>(client, 'select fn_iu_route_worker_run($1, $2) as answer', [cursor, limit]);
}

/** Emits one event and answers its id. */
export async function emit(
  client: pg.Client,
  payload: object = {},
  type = 'version_applied',
): Promise<string> {
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

/** Waits until every committed event lies below the high-water mark. */
export async function settled(client: pg.Client): Promise<void> {
  await until(
    client,
    `select not exists (
       select from public.event_outbox where xact_id >= pg_snapshot_xmin(pg_current_snapshot())) as answer`,
  );
}

/** Waits until a question is answered `true`; fails after 25 seconds. */
export async function until(client: pg.Client, sql: string, values: unknown[] = []): Promise<void> {
  for (const end = Date.now() + 25_000; ; ) {
    if (await ask<boolean>(client, sql, values)) return;
    if (Date.now() > end) throw new Error(`still not true: ${sql}`);
  }
}
