import type pg from 'pg';
import { askFunction } from '../target/ask-function.ts';
import { isStatementTimeout, repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import type { Transact } from '../target/transact.ts';
import { replaySlowly, type SlowReplay } from './replay-slowly.ts';
import type { ReplayStep } from './replay-step.ts';

export interface ReplayBatch extends SlowReplay {
  /** Deliveries of the plan that may be queued at once. */
  readonly window: number;
}

/**
 * Replays one batch of up to `limit` letters in a transaction of its own: the fast way in one statement, and where that
 * exceeds `statement_timeout`, the same letters one by one ({@link replaySlowly}), so that one letter that hangs keeps no
 * other back. A transaction that lost against another one is repeated, within the bound of {@link repeatLostTransaction}.
 *
 * @throws SluiceError `transient` or `lock_timeout` after the last try; any other error of the database as it is. What was
 * not committed was rolled back
 */
export async function replayOnce(
  client: pg.Client,
  transact: Transact,
  limit: number,
  batch: ReplayBatch,
): Promise<ReplayStep> {
  const { planHash, runId, until, window } = batch;
  const step = (most: number) =>
    repeatLostTransaction({ doing: `Replaying plan ${planHash.slice(0, 12)}` }, () =>
      transact('read write', () =>
        askFunction<ReplayStep>(client, 'fn_iu_replay_step($1, $2, $3, $4, $5)', [
          planHash,
          runId,
          until,
          most,
          window,
        ]),
      ),
    );
  const startedAt = performance.now();
  try {
    return await step(limit);
  } catch (error) {
    const isTimeout = isStatementTimeout(error, performance.now() - startedAt, batch.statementTimeoutMs);
    if (!isTimeout || limit === 0) throw error;
    const taken = await replaySlowly(client, transact, batch, limit);
    if (taken === 0) throw error;
    return { ...(await step(0)), taken };
  }
}
