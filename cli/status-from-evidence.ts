import type pg from 'pg';
import type { KnownRun } from '../client/find-run.ts';
import type { MacroStatus, StepState, StepStatus } from '../contracts/macro-run.ts';
import { collectEvidence } from '../evidence/collect-evidence.ts';
import type { ForwardState, StepEvidence, UndoState } from '../evidence/evidence-document.ts';

const FORWARD: Readonly<Record<ForwardState, StepState>> = {
  done: 'done',
  already_applied: 'already_applied',
  partial: 'failed',
  failed: 'failed',
  stopped: 'failed',
  current: 'running',
  not_reached: 'pending',
};

const UNDO: Readonly<Record<UndoState, StepState>> = {
  undone: 'undone',
  voided: 'skipped',
  refused: 'undo_failed',
  failed: 'undo_failed',
};

/**
 * The status of a run whose workflow cannot be asked, from the receipts in the target. One whose workflow is gone and
 * that has no outcome there was terminated; it needs action.
 */
export async function statusFromEvidence(
  client: pg.Client,
  known: KnownRun,
  isOpen: boolean,
): Promise<MacroStatus> {
  const { run, steps, planDocument, summary } = await collectEvidence(client, known.runId);
  const wasCut = run.finishedAt === null && !isOpen;
  const kinds = new Map(planDocument.steps.map((step) => [step.id, step.kind]));
  return {
    runId: run.runId,
    runNo: run.runNo,
    macro: run.macro,
    target: run.target,
    planHash: run.planHash,
    phase: isOpen ? 'not known: no worker answers' : 'ended',
    outcome: wasCut ? 'needs_action' : run.outcome,
    steps: steps.flatMap((step) => {
      const kind = kinds.get(step.id);
      return kind === undefined ? [] : [{ ...lineOf(step), kind }];
    }),
    pendingApproval: null,
    held: null,
    cause: wasCut ? 'its workflow ended without closing it (terminated, or its history is gone)' : run.cause,
    leftToDo: wasCut
      ? [{ stepId: '', what: summary.headline, how: `sluice macro rollback ${run.runNo}` }]
      : run.leftToDo,
  };
}

function lineOf(step: StepEvidence): Omit<StepStatus, 'kind'> {
  return {
    id: step.id,
    title: step.title,
    state: step.undo === null ? FORWARD[step.state] : UNDO[step.undo],
    verdict: step.verdict,
    attempts: step.attempts,
    durationMs: step.durationMs,
    undoDurationMs: step.undoDurationMs,
    detail: step.detail,
  };
}
