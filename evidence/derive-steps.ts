import { type DisableStep, isChange, type Plan, type PlannedStep } from '../contracts/plan.ts';
import type { StepKind } from '../contracts/step-kind.ts';
import { combineVerdicts, VERDICTS, type Verdict } from '../contracts/verdict.ts';
import type {
  Effect,
  FailureEvidence,
  ForwardState,
  ReceiptEvidence,
  StepEvidence,
  UndoState,
} from './evidence-document.ts';
import type { FailureRow, ReceiptRow, RunRecord } from './evidence-rows.ts';

/** The steps of a run by its receipts, in the plan's order, and the receipts that the plan does not explain. */
export function deriveSteps(
  plan: Plan,
  record: RunRecord,
): { steps: StepEvidence[]; disable: StepEvidence[]; unplanned: StepEvidence[] } {
  const known = new Set([...plan.steps.map((step) => step.id), ...plan.disable.map(disableId)]);
  const strange = [...new Set([...record.receipts, ...record.failures].map((row) => row.step_id))].filter(
    (id) => !known.has(id),
  );
  const steps = plan.steps.map((step) => toStep(record, step.id, step.title, step.kind, step));
  return {
    steps: record.run.finished_at === null ? markCurrent(steps) : steps,
    disable: plan.disable
      .map((step) => toStep(record, disableId(step), step.title, 'disable', null))
      .filter((step) => step.receipts.length > 0 || step.failures.length > 0),
    unplanned: strange.map((id) => {
      const kind = record.receipts.find((row) => row.step_id === id)?.kind ?? 'check';
      return toStep(record, id, 'not in the plan', kind as StepKind, null);
    }),
  };
}

/** Step id under which a receipt of the disable runbook stands. */
function disableId(step: DisableStep): string {
  return `disable-${step.id}`;
}

function toStep(
  record: RunRecord,
  id: string,
  title: string,
  kind: StepEvidence['kind'],
  planned: PlannedStep | null,
): StepEvidence {
  const receipts = record.receipts.filter((row) => row.step_id === id).map(toReceipt);
  const failures = record.failures.filter((row) => row.step_id === id).map(toFailure);
  const intents = record.intents
    .filter((row) => row.step_id === id)
    .map((row) => ({ part: row.part, declaredAt: row.declared_at }));
  const forward = receipts.filter((row) => row.direction === 'do' || kind === 'disable');
  const stands = forward.filter((row) => row.state !== 'voided');
  const whole = stands.find((row) => row.part === '') ?? null;
  const back = kind === 'disable' ? [] : receipts.filter((row) => row.direction === 'undo');
  const tried = failures.filter((row) => row.direction === 'do');
  const ended = record.controls.findLast(
    (row) => row.step_id === id && (row.action === 'reject' || row.action === 'expired'),
  );
  const touched =
    forward.length > 0 || intents.length > 0 || record.observations.some((row) => row.step_id === id);

  let state: ForwardState = 'not_reached';
  if (whole !== null || (planned === null && stands.length > 0)) {
    const all = stands.every((row) => row.state === 'already_applied');
    const failed = stands.some((row) => row.verdict === 'fail');
    state = failed ? 'failed' : all ? 'already_applied' : 'done';
  } else if (tried.length > 0 || ended !== undefined) state = 'failed';
  else if (stands.length > 0) state = 'partial';
  else if (touched) state = 'stopped';

  const undo = undoState(
    back,
    failures.filter((row) => row.direction === 'undo'),
    forward,
  );
  const last = whole ?? stands.at(-1);
  return {
    id,
    kind,
    title,
    state,
    undo,
    effect: effectOf(planned, state, undo, stands, intents.length),
    verdict: verdictOf(state, whole, stands, tried.at(-1)),
    detail:
      last?.detail ??
      tried.at(-1)?.message ??
      (ended === undefined ? '' : `${ended.action} by ${ended.actor}`),
    attempts: Math.max(0, ...stands.map((row) => row.attempt), ...tried.map((row) => row.attempt)),
    durationMs: span(stands),
    undoDurationMs: back.length === 0 ? null : span(back),
    receipts,
    failures,
    intents,
  };
}

function undoState(
  back: readonly ReceiptEvidence[],
  failed: readonly FailureEvidence[],
  forward: readonly ReceiptEvidence[],
): UndoState | null {
  const last = failed.at(-1);
  const worked = back.filter((row) => row.state === 'undone');
  const isLater = (at: string) => back.every((row) => row.finishedAt <= at);
  if (back.some((row) => row.state === 'refused')) return 'refused';
  if (last !== undefined && isLater(last.failedAt))
    return last.code === 'rollback_refused' ? 'refused' : 'failed';
  if (worked.length > 0) return 'undone';
  return back.length > 0 || forward.some((row) => row.state === 'voided') ? 'voided' : null;
}

/** What the receipts say of the change; an intent without a receipt says nothing, and so the effect is unknown. */
function effectOf(
  planned: PlannedStep | null,
  state: ForwardState,
  undo: UndoState | null,
  stands: readonly ReceiptEvidence[],
  intents: number,
): Effect | null {
  if (planned === null || !(isChange(planned) || planned.kind === 'run')) return null;
  if (planned.kind === 'run') return stands.length > 0 ? 'ran' : 'none';
  if (undo === 'undone') return 'taken_back';
  if (stands.length > 0) return state === 'already_applied' ? 'held_before' : 'in_effect';
  return intents > 0 && undo !== 'voided' ? 'unknown' : 'none';
}

function verdictOf(
  state: ForwardState,
  whole: ReceiptEvidence | null,
  stands: readonly ReceiptEvidence[],
  failure: FailureEvidence | undefined,
): Verdict {
  const reported = VERDICTS.find((verdict) => failure?.code === `verdict_${verdict}`);
  if (state === 'failed') return whole?.verdict ?? reported ?? 'fail';
  if (whole !== null) return whole.verdict;
  return state === 'partial' ? 'inconclusive' : combineVerdicts(stands.map((row) => row.verdict));
}

/** Wall-clock milliseconds from the first beginning to the last end. */
function span(rows: readonly ReceiptEvidence[]): number {
  if (rows.length === 0) return 0;
  const begins = rows.map((row) => Date.parse(row.startedAt));
  const ends = rows.map((row) => Date.parse(row.finishedAt));
  return Math.max(0, Math.max(...ends) - Math.min(...begins));
}

/** In an unfinished run the first step without a result is where it stands; it may be running, waiting or retrying. */
function markCurrent(steps: readonly StepEvidence[]): StepEvidence[] {
  if (steps.some((step) => step.undo !== null)) return [...steps];
  const at = steps.findIndex((step) => step.state !== 'done' && step.state !== 'already_applied');
  return steps.map((step, index) =>
    index === at ? { ...step, state: 'current', verdict: 'not_run' } : step,
  );
}

function toReceipt(row: ReceiptRow): ReceiptEvidence {
  return {
    part: row.part,
    direction: row.direction,
    state: row.state,
    verdict: row.verdict,
    detail: row.detail,
    checks: row.checks,
    facts: row.facts,
    scriptSha256: row.script_sha256,
    attempt: row.attempt,
    byRunId: row.by_run_id,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    durationMs: Math.max(0, Date.parse(row.finished_at) - Date.parse(row.started_at)),
  };
}

function toFailure(row: FailureRow): FailureEvidence {
  return {
    direction: row.direction,
    attempt: row.attempt,
    code: row.code,
    message: row.message,
    checks: row.checks,
    byRunId: row.by_run_id,
    failedAt: row.failed_at,
  };
}
