import type pg from 'pg';

/** How a transaction is opened; `read only` and isolation are the engine's to decide, never the script's. */
export type TransactionMode = 'read write' | 'read only' | 'repeatable read, read write';

const BEGIN: Readonly<Record<TransactionMode, string>> = {
  'read write': 'begin isolation level read committed, read write',
  'read only': 'begin isolation level repeatable read, read only',
  'repeatable read, read write': 'begin isolation level repeatable read, read write',
};

/** Once a snapshot is taken, `set transaction read write` is refused. */
const TAKE_SNAPSHOT = '; select pg_catalog.pg_current_snapshot()';

export interface TransactionSettings {
  /** Schema that managed files work in; omitted for the engine's own statements, which qualify every name. */
  readonly schema?: string;
  /** Milliseconds. */
  readonly lockTimeoutMs: number;
  /** Milliseconds, per statement. */
  readonly statementTimeoutMs: number;
}

/**
 * Opens a transaction with its limits as `SET LOCAL`, runs `work`, and ends it as `end` says. An error rolls
 * back and is thrown on. `pg_catalog` is not listed in the search path and is therefore searched first.
 */
export async function inTransaction<T>(
  client: pg.Client,
  mode: TransactionMode,
  settings: TransactionSettings,
  work: () => Promise<T>,
  end: 'commit' | 'rollback' = 'commit',
): Promise<T> {
  const path =
    settings.schema === undefined
      ? 'pg_catalog, pg_temp'
      : `${client.escapeIdentifier(settings.schema)}, pg_temp`;
  await client.query(
    `${BEGIN[mode]};
     set local search_path = ${path};
     set local lock_timeout = ${Math.trunc(settings.lockTimeoutMs)};
     set local statement_timeout = ${Math.trunc(settings.statementTimeoutMs)};
     set local idle_in_transaction_session_timeout = ${Math.trunc(settings.statementTimeoutMs + 60_000)};
     set local client_min_messages = warning${mode === 'read only' ? TAKE_SNAPSHOT : ''}`,
  );
  try {
    const result = await work();
    const ended = await client.query(end);
    if (end === 'commit' && ended.command === 'ROLLBACK')
      throw new Error('COMMIT was answered with ROLLBACK');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}
