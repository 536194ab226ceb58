import type pg from 'pg';
import { askFunction } from '../target/ask-function.ts';
import { isStatementTimeout, repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import type { Transact } from '../target/transact.ts';
import { drainSlowly } from './drain-slowly.ts';

/** What one batch did, as `fn_iu_route_worker_run` answers. */
export interface WorkerRun {
  readonly status: string;
  /** Events; fewer than asked for means that nothing is left. */
  readonly seen: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
}

export interface BatchOptions {
  readonly cursorCode: string;
  /** Events of one batch. */
  readonly batchSize: number;
  /** The `statement_timeout` that `transact` sets, in milliseconds. */
  readonly statementTimeoutMs: number;
  /** How long one event may take where the batch is repeated event by event, in milliseconds. */
  readonly eventTimeoutMs: number;
  /** Ends the slow way after the transaction at work. */
  readonly signal?: AbortSignal;
}

/**
 * Drains one batch in a transaction of its own: the fast way in one statement, and where that exceeds
 * `statement_timeout`, the same events one by one ({@link drainSlowly}), so that one event that hangs keeps no other
 * back. A transaction that lost against another one is repeated, within the bound of {@link repeatLostTransaction}.
 *
 * @throws SluiceError `transient` or `lock_timeout` after the last try; any other error of the database as it is, a
 * person's cancellation of the statement among them. What was not committed was rolled back
 */
export async function drainOnce(
  client: pg.Client,
  transact: Transact,
  options: BatchOptions,
): Promise<WorkerRun> {
  const startedAt = performance.now();
  try {
    return await repeatLostTransaction({ doing: `Draining cursor ${options.cursorCode}` }, () =>
      transact('read write', () => runBatch(client, options)),
    );
  } catch (error) {
    if (!isStatementTimeout(error, performance.now() - startedAt, options.statementTimeoutMs)) throw error;
    return drainSlowly(client, transact, options);
  }
}

function runBatch(client: pg.Client, { cursorCode, batchSize }: BatchOptions): Promise<WorkerRun> {
  return askFunction<WorkerRun>(client, 'fn_iu_route_worker_run($1, $2)', [cursorCode, batchSize]);
}
