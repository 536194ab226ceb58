import { setTimeout as delay } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { STATUS_QUERY } from '../contracts/control.ts';
import type { MacroStatus } from '../contracts/macro-run.ts';
import { awaitOutcome } from './await-outcome.ts';

export interface FollowOptions {
  /** Called with every status that differs from the last one. */
  readonly onStatus: (status: MacroStatus) => void | Promise<void>;
  /** Milliseconds between looks; 300 when absent. */
  readonly everyMs?: number;
  /** Ends the following, not the run. */
  readonly signal?: AbortSignal;
}

/**
 * Follows a run to its end by its status query, and returns its last status. A query that is not answered (no
 * worker at the moment) is asked again.
 *
 * @throws the workflow's failure where the run never opened; the signal's reason where it was aborted
 */
export async function followRun(
  handle: Pick<WorkflowHandle, 'result' | 'query'>,
  { onStatus, everyMs = 300, signal }: FollowOptions,
): Promise<MacroStatus> {
  let isOver = false;
  const ended = awaitOutcome(handle).finally(() => {
    isOver = true;
  });
  ended.catch(() => undefined);
  let last = '';
  while (!isOver) {
    signal?.throwIfAborted();
    const status = await handle.query<MacroStatus>(STATUS_QUERY).catch(() => undefined);
    const seen = JSON.stringify(status);
    if (status !== undefined && seen !== last) {
      last = seen;
      await onStatus(status);
    }
    await Promise.race([ended.catch(() => undefined), delay(everyMs)]);
  }
  const status = await ended;
  if (JSON.stringify(status) !== last) await onStatus(status);
  return status;
}
