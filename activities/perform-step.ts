import { activityInfo, CancelledFailure, Context } from '@temporalio/activity';
import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { Plan, PlannedStep } from '../contracts/plan.ts';
import { databaseDetail } from '../target/map-database-error.ts';
import { withReusedSession } from '../target/reuse-session.ts';
import { cancelOnRequest } from './cancel-on-request.ts';
import type { ActivityDependencies, TargetAccess } from './dependencies.ts';
import { withHeartbeat } from './heartbeat.ts';
import { type RunRow, readRun } from './read-run.ts';
import { recordFailure } from './record-failure.ts';
import { toActivityFailure } from './report-failure.ts';

/** What the work of one step is given. */
export interface StepWork {
  readonly client: pg.Client;
  readonly target: TargetAccess;
  readonly run: RunRow;
  readonly plan: Plan;
  readonly step: PlannedStep;
  readonly ref: StepRef;
  readonly attempt: number;
  readonly startedAt: Date;
  /** Sets the heartbeat details. */
  readonly report: (progress: unknown) => void;
}

/**
 * Runs the work of one step or of its undo: one session named after run and step, heartbeats, cancellation,
 * errors as typed failures, and each failed attempt recorded in the target after its transaction is gone.
 */
export async function performStep<T>(
  dependencies: ActivityDependencies,
  ref: StepRef & { byRunId?: string },
  direction: 'do' | 'undo',
  work: (given: StepWork) => Promise<T>,
): Promise<T> {
  const startedAt = new Date();
  const { attempt } = activityInfo();
  const where = `Step ${ref.stepId}${direction === 'undo' ? ' (undo)' : ''}`;
  let url: string | undefined;
  try {
    const target = await dependencies.openTarget(ref.target);
    url = target.url;
    return await withHeartbeat((report) =>
      withReusedSession(
        { url: target.url, applicationName: sessionName(ref) },
        (client) =>
          cancelOnRequest(target.url, client, async () => {
            const { run, plan } = await readRun(client, ref.runId);
            const step = plan.steps.find((candidate) => candidate.id === ref.stepId);
            if (step === undefined) throw unknownStep(ref);
            return work({ client, target, run, plan, step, ref, attempt, startedAt, report });
          }),
        // A request to cancel may still be on its way to this session.
        () => !Context.current().cancellationSignal.aborted,
      ),
    );
  } catch (error) {
    const { cancellationSignal, cancellationDetails } = Context.current();
    const isInterrupted = cancellationSignal.aborted && isInterruption(error);
    const failure = toActivityFailure(error, where, attempt, direction);
    if (url !== undefined && failure.type !== 'step_busy' && !isInterrupted) {
      const detail = databaseDetail(error);
      const message = detail === '' ? failure.message : `${failure.message} (${detail})`;
      await recordFailure(url, { ref, direction, attempt, code: failure.type ?? 'unexpected', message });
    }
    // A worker that shuts down interrupts as well; the server then tries the step again elsewhere.
    if (isInterrupted)
      throw new CancelledFailure(`${where} was interrupted; its transaction was rolled back.`);
    if (cancellationDetails?.cancelRequested === true) {
      throw new CancelledFailure(`${where} was cancelled, and had failed: ${failure.message}`);
    }
    throw failure;
  }
}

/** Whether an error is what a cancellation of the activity causes, not a failure of its own. */
function isInterruption(error: unknown): boolean {
  if (error instanceof CancelledFailure) return true;
  const cause = error instanceof SluiceError ? (error.cause ?? error) : error;
  if (!(cause instanceof Error)) return false;
  const QUERY_CANCELED = '57014';
  return (
    cause.name === 'AbortError' ||
    cause instanceof CancelledFailure ||
    (cause as { code?: string }).code === QUERY_CANCELED
  );
}

/**
 * Name of the session in `pg_stat_activity`, at most 63 bytes: on-call finds the run by it, and an undo finds its
 * own zombies.
 */
export function sessionName(ref: Pick<StepRef, 'runId' | 'stepId'>): string {
  return `sluice:${ref.runId.slice(0, 8)}:${ref.stepId}`.slice(0, 63);
}

/** A result that a receipt or a script gives back, with the attempts so far. */
export function stepResult(result: Omit<StepResult, 'state'> & { state?: StepResult['state'] }): StepResult {
  return { state: 'done', ...result };
}

function unknownStep(ref: StepRef): SluiceError {
  return new SluiceError('plan_not_found', {
    what: `The plan of run ${ref.runId} has no step ${ref.stepId}.`,
    expected: 'A step that the stored plan names.',
    safe: 'Nothing was changed.',
  });
}
