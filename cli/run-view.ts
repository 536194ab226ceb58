import { awaitOutcome } from '../client/await-outcome.ts';
import { findRun, type KnownRun } from '../client/find-run.ts';
import { STATUS_QUERY } from '../contracts/control.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { MacroStatus } from '../contracts/macro-run.ts';
import type { Context } from './context.ts';
import { explainTemporalError } from './explain-temporal-error.ts';
import type { LocatedRun } from './locate-run.ts';
import { note } from './print.ts';
import { statusFromEvidence } from './status-from-evidence.ts';
import { CALL_MS } from './temporal-access.ts';

/** A run as every command prints it. */
export interface RunView extends MacroStatus {
  readonly workflowId: string;
  readonly temporalRunId: string;
  /** Page in the Temporal UI; null where nothing says where that is. */
  readonly link: string | null;
  /** What the run waits for, if it waits for a person. */
  readonly waitsFor: 'approval' | 'release' | null;
}

/** Reads where a run stands: by query while it is open, from its end or its evidence afterwards. */
export async function readRun(context: Context, run: LocatedRun): Promise<RunView> {
  return viewOf(run, await readStatus(context, run));
}

export function viewOf(
  run: Pick<LocatedRun, 'temporal' | 'workflowId' | 'temporalRunId'>,
  status: MacroStatus,
): RunView {
  const { temporal, workflowId, temporalRunId } = run;
  const link = temporal.link(workflowId, temporalRunId);
  return { ...status, workflowId, temporalRunId, link, waitsFor: waitsFor(status) };
}

/** 0 succeeded, 4 rolled back, 5 disabled or needs action, 6 not ended. */
export function exitOfRun({ outcome }: Pick<MacroStatus, 'outcome'>): ExitCode {
  if (outcome === null) return EXIT.waiting;
  if (outcome === 'succeeded') return EXIT.done;
  return outcome === 'rolled_back' ? EXIT.rolledBack : EXIT.needsAction;
}

async function readStatus(context: Context, run: LocatedRun): Promise<MacroStatus> {
  const { temporal, handle, known } = run;
  if (run.isOpen) {
    try {
      return await temporal.within(CALL_MS, () => handle.query<MacroStatus>(STATUS_QUERY));
    } catch (error) {
      const stored = await storedRun(context, run, error);
      note('no worker answers; this is what the receipts in the target say');
      return context.record('read a run', (client) => statusFromEvidence(client, stored, true));
    }
  }
  if (run.workflowState !== null && run.workflowState !== 'TERMINATED') {
    try {
      return await temporal.within(CALL_MS, () => awaitOutcome(handle));
    } catch (error) {
      if (known === null) throw error;
    }
  }
  if (known === null) return temporal.within(CALL_MS, () => awaitOutcome(handle));
  return context.record('read a run', (client) => statusFromEvidence(client, known, false));
}

/** The row of an open run that no worker answers for. @throws what the query failed with, where that is no silence */
async function storedRun(context: Context, run: LocatedRun, silence: unknown): Promise<KnownRun> {
  if (explainTemporalError(silence)?.code !== 'temporal_unreachable') throw silence;
  if (run.known !== null) return run.known;
  return context
    .record('find a run', (client) => findRun(client, run.temporalRunId))
    .catch(() => {
      throw silence;
    });
}

function waitsFor(status: MacroStatus): RunView['waitsFor'] {
  if (status.outcome !== null) return null;
  if (status.pendingApproval !== null) return 'approval';
  return status.held === null ? null : 'release';
}
