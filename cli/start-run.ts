import { setTimeout as delay } from 'node:timers/promises';
import { startMacro, startUndo } from '../client/start-macro.ts';
import type { ControlInput } from '../contracts/control.ts';
import type { Context } from './context.ts';
import type { LocatedRun } from './locate-run.ts';
import type { RunView } from './run-view.ts';
import { CALL_MS } from './temporal-access.ts';
import { watchRun } from './watch-run.ts';

/** How long to wait for a started run to open in the target, in milliseconds. */
const OPENING_MS = 5_000;

/**
 * Starts a run of a stored plan.
 *
 * @throws SluiceError `target_conflict` where a run is open on the target
 */
export async function startRun(
  context: Context,
  request: ControlInput & { readonly macro: string; readonly planHash: string; readonly takeOver?: boolean },
): Promise<LocatedRun> {
  const { macro, planHash, actor, reason, ticket, takeOver } = request;
  const input = {
    target: context.targetName(),
    planHash,
    actor,
    reason,
    ...(ticket === undefined ? {} : { ticket }),
    ...(takeOver === true ? { takeOver } : {}),
  };
  return started(context, (options) => startMacro({ ...options, macro }, input));
}

/** Starts the undo of a run that has ended or was terminated. @throws SluiceError `target_conflict` */
export async function startUndoRun(
  context: Context,
  request: ControlInput & { readonly macro: string; readonly undoRunId: string; readonly takeOver?: boolean },
): Promise<LocatedRun> {
  const { macro, undoRunId, actor, reason, ticket, takeOver } = request;
  const input = {
    target: context.targetName(),
    undoRunId,
    actor,
    reason,
    ...(ticket === undefined ? {} : { ticket }),
    ...(takeOver === true ? { takeOver } : {}),
  };
  return started(context, (options) => startUndo({ ...options, macro }, input));
}

/**
 * Waits a few seconds until a started run has opened in the target, so that a refusal shows at once.
 *
 * @returns null where no worker has taken it yet
 * @throws what the run failed with: `target_conflict`, `target_unreachable`, `plan_not_found` …
 */
export async function untilOpened(context: Context, run: LocatedRun): Promise<RunView | null> {
  const until = new AbortController();
  void delay(OPENING_MS, undefined, { signal: until.signal }).then(
    () => until.abort(),
    () => undefined,
  );
  try {
    const watched = await watchRun(context, run, {
      stay: true,
      signal: until.signal,
      onStatus: (view) => {
        if (view.runId !== null) until.abort();
      },
    });
    return watched.run?.runId == null ? null : watched.run;
  } finally {
    until.abort();
  }
}

type Start = (
  options: Pick<Parameters<typeof startMacro>[0], 'client' | 'taskQueue'>,
) => ReturnType<typeof startMacro>;

async function started(context: Context, start: Start): Promise<LocatedRun> {
  const temporal = await context.temporal();
  const { client } = temporal;
  const handle = await temporal.within(CALL_MS, () => start({ client, taskQueue: context.taskQueue }));
  const temporalRunId = handle.firstExecutionRunId;
  return {
    temporal,
    handle: client.workflow.getHandle(handle.workflowId, temporalRunId),
    workflowId: handle.workflowId,
    temporalRunId,
    isOpen: true,
    workflowState: 'RUNNING',
    known: null,
  };
}
