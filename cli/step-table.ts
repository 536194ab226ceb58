import type { StepState, StepStatus } from '../contracts/macro-run.ts';
import type { RunView } from './run-view.ts';
import { sayDuration } from './say-duration.ts';
import { textTable } from './text-table.ts';

export const STATE_WORDS: Readonly<Record<StepState, string>> = {
  pending: '',
  running: 'running',
  waiting: 'waiting',
  done: 'done',
  already_applied: 'already applied',
  failed: 'failed',
  undoing: 'undoing',
  undone: 'undone',
  undo_failed: 'undo failed',
  skipped: 'nothing to undo',
};

/** The step table of a run. */
export function stepTable(steps: readonly StepStatus[]): string {
  return textTable(
    ['step', 'kind', 'state', 'verdict', 'tries', 'time', 'undo', 'detail'],
    steps.map((step) => [
      step.id,
      step.kind,
      STATE_WORDS[step.state],
      step.state === 'pending' ? '' : step.verdict,
      step.attempts === 0 ? '' : step.attempts,
      step.durationMs === 0 && step.state === 'pending' ? '' : sayDuration(step.durationMs),
      step.undoDurationMs === null ? '' : sayDuration(step.undoDurationMs),
      step.detail,
    ]),
  );
}

/** A run in text: what it is, where it stands, its steps, and what is to be done now. */
export function runText(run: RunView): string {
  const parts = [
    headline(run),
    run.link ?? `workflow ${run.workflowId}, run ${run.temporalRunId}`,
    run.steps.length === 0 ? '' : stepTable(run.steps),
    run.cause === '' ? '' : `cause: ${run.cause}`,
    nextText(run),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

export function headline(
  run: Pick<RunView, 'macro' | 'target' | 'runNo' | 'outcome' | 'phase' | 'waitsFor'>,
): string {
  const no = run.runNo === null ? '' : `run ${run.runNo}: `;
  const standing =
    run.outcome?.replaceAll('_', ' ') ??
    (run.waitsFor === null ? run.phase : `waits for ${WAITS[run.waitsFor]}`);
  return `${no}${run.macro ?? 'macro'} on ${run.target}: ${standing}`;
}

const WAITS = { approval: 'an approval', release: 'a person (held)' } as const;

/** What a person can do now; empty where nothing is to be done. */
export function nextText(run: RunView): string {
  const ref = `${run.runNo === null ? '' : ` ${run.runNo}`} --target ${run.target}`;
  if (run.pendingApproval !== null && run.outcome === null) {
    const { stepId, fingerprint, planHash, expiresAt } = run.pendingApproval;
    return [
      `step ${stepId} waits for the approval of a second person until ${expiresAt}`,
      `  plan        ${planHash}`,
      `  fingerprint ${fingerprint}`,
      `  sluice macro approve${ref} --fingerprint ${fingerprint} --actor NAME --reason TEXT`,
      `  sluice macro reject${ref} --yes --actor NAME --reason TEXT`,
    ].join('\n');
  }
  if (run.held !== null && run.outcome === null) {
    const byEngine = run.held.actor === 'sluice';
    return [
      `held by ${run.held.actor}: ${run.held.reason}`,
      `  sluice macro ${byEngine ? 'retry' : 'release'}${ref} --reason TEXT`,
      `  sluice macro rollback${ref} --yes --reason TEXT`,
    ].join('\n');
  }
  return run.leftToDo.map(({ what, how }) => `left to do: ${what}\n  ${how}`).join('\n');
}
