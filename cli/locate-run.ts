import type { WorkflowHandle } from '@temporalio/client';
import { findRun, type KnownRun } from '../client/find-run.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { macroWorkflowId } from '../contracts/names.ts';
import type { Context } from './context.ts';
import { CALL_MS, type TemporalAccess } from './temporal-access.ts';

/** A run and the workflow behind it. */
export interface LocatedRun {
  readonly temporal: TemporalAccess;
  readonly handle: WorkflowHandle;
  readonly workflowId: string;
  readonly temporalRunId: string;
  /** False where the workflow has ended, or is no longer in Temporal's history. */
  readonly isOpen: boolean;
  /** Temporal's word, such as `RUNNING` or `TERMINATED`; null where it knows the workflow no more. */
  readonly workflowState: string | null;
  /** Null where the run has no row in the target yet. */
  readonly known: KnownRun | null;
}

/**
 * Finds a run by its number, its id or `latest`; without a reference the open run of the target, else its latest.
 *
 * @throws SluiceError `run_not_found`, `temporal_unreachable`, `engine_schema_missing`
 */
export async function locateRun(context: Context, reference: string | undefined): Promise<LocatedRun> {
  if (reference !== undefined) {
    const known = await context.record('find a run', (client) => findRun(client, reference));
    return locateKnown(await context.temporal(), known);
  }
  return (await locateOpenRun(context)) ?? locateRun(context, 'latest');
}

/** The open run of the target, or null. */
export async function locateOpenRun(context: Context): Promise<LocatedRun | null> {
  const temporal = await context.temporal();
  const workflowId = macroWorkflowId(context.targetName());
  const state = await describe(temporal, workflowId);
  if (state?.name !== 'RUNNING') return null;
  return {
    temporal,
    handle: temporal.client.workflow.getHandle(workflowId, state.runId),
    workflowId,
    temporalRunId: state.runId,
    isOpen: true,
    workflowState: state.name,
    known: null,
  };
}

/**
 * The open run that a decision is for.
 *
 * @throws SluiceError `run_not_found` where none is open
 */
export async function demandOpenRun(context: Context, reference: string | undefined): Promise<LocatedRun> {
  const run = reference === undefined ? await locateOpenRun(context) : await locateRun(context, reference);
  if (run?.isOpen === true) return run;
  throw new SluiceError('run_not_found', {
    what:
      run?.known === undefined || run.known === null
        ? `No run is open on target ${context.targetName()}.`
        : `Run ${run.known.runNo} (${run.known.macro}) has ended: ${run.known.outcome ?? 'without an outcome'}.`,
    expected: 'A run that is open. `sluice macro rollback RUN` takes back one that has ended.',
    safe: 'Nothing was changed.',
  });
}

/** The workflow of a run that the target knows. */
export async function locateKnown(temporal: TemporalAccess, known: KnownRun): Promise<LocatedRun> {
  const { workflowId, temporalRunId } = known;
  const state = await describe(temporal, workflowId, temporalRunId);
  return {
    temporal,
    handle: temporal.client.workflow.getHandle(workflowId, temporalRunId),
    workflowId,
    temporalRunId,
    isOpen: state?.name === 'RUNNING',
    workflowState: state?.name ?? null,
    known,
  };
}

async function describe(
  temporal: TemporalAccess,
  workflowId: string,
  runId?: string,
): Promise<{ name: string; runId: string } | null> {
  try {
    const handle = temporal.client.workflow.getHandle(workflowId, runId);
    const found = await temporal.within(CALL_MS, () => handle.describe());
    return { name: found.status.name, runId: found.runId };
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null;
    throw error;
  }
}
