import { FORBIDDEN_ACTIONS, type ForbiddenAction } from '../contracts/forbidden-actions.ts';
import { isChange, type Plan } from '../contracts/plan.ts';
import { deriveSteps } from './derive-steps.ts';
import type {
  ChainRow,
  ControlEvidence,
  DerivedEvidence,
  ForbiddenEvidence,
  ObservationEvidence,
  RelatedChain,
  RunEvidence,
} from './evidence-document.ts';
import { type ControlRow, type ObservationRow, type RunRow, readRecord } from './evidence-rows.ts';

export interface ProvenInput {
  readonly runId: string;
  readonly chain: readonly ChainRow[];
  readonly relatedChains: readonly RelatedChain[];
  /** Canonical text of the plan. */
  readonly canonical: string;
}

/**
 * Computes everything that chains and plan prove, from them alone; the collector and the offline verifier both
 * call it. For an undo run the steps are those of the run that it takes back, which holds their receipts.
 *
 * @throws Error naming the row of the chain that cannot be read
 */
export function deriveEvidence(input: ProvenInput): DerivedEvidence {
  const plan = JSON.parse(input.canonical) as Plan;
  const record = readRecord(input.runId, input.chain);
  const related = input.relatedChains.map((chain) => readRecord(chain.runId, chain.rows));
  const takenBack = related.find((other) => other.run.run_id === record.run.undoes_run_id) ?? null;
  const steps = deriveSteps(plan, takenBack ?? record);
  const observations = (takenBack ?? record).observations;
  return {
    run: toRun(record.run),
    planDocument: plan,
    ...steps,
    controls: record.controls.map(toControl),
    observations: toObservations(plan, observations),
    takenBackBy: related
      .filter((other) => other.run.undoes_run_id === record.run.run_id)
      .map((other) => toRun(other.run)),
    takesBack: takenBack === null ? null : toRun(takenBack.run),
    forbidden: toForbidden(plan),
  };
}

export function toRun(row: RunRow): RunEvidence {
  const atEnd = row.fingerprint_at_end;
  return {
    runId: row.run_id,
    runNo: row.run_no,
    kind: row.kind,
    macro: row.macro,
    target: row.target,
    planHash: row.plan_hash,
    workflowId: row.workflow_id,
    temporal: {
      runId: row.temporal_run_id,
      namespace: row.temporal_namespace,
      address: row.temporal_address,
      clusterId: row.temporal_cluster_id,
    },
    actor: { claimed: row.actor, temporalIdentity: row.temporal_identity },
    reason: row.reason,
    ticket: row.ticket,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    durationMs: row.finished_at === null ? null : Date.parse(row.finished_at) - Date.parse(row.started_at),
    outcome: row.outcome,
    cause: row.cause ?? '',
    leftToDo: row.left_to_do,
    fingerprint: {
      atStart: row.fingerprint,
      atEnd,
      equal: atEnd === null ? null : atEnd === row.fingerprint,
    },
  };
}

function toControl(row: ControlRow): ControlEvidence {
  return {
    stepId: row.step_id,
    action: row.action,
    actor: { claimed: row.actor, temporalIdentity: row.temporal_identity },
    reason: row.reason,
    ticket: row.ticket,
    planHash: row.plan_hash,
    fingerprint: row.fingerprint,
    updateId: row.update_id,
    actedAt: row.acted_at,
  };
}

function toObservations(plan: Plan, rows: readonly ObservationRow[]): ObservationEvidence[] {
  const names = new Map(rows.map((row) => [JSON.stringify([row.step_id, row.metric]), row]));
  return [...names.values()].map(({ step_id: stepId, metric: name }) => {
    const step = plan.steps.find((candidate) => candidate.id === stepId);
    const metric = step?.kind === 'observe' ? step.metrics.find((one) => one.name === name) : undefined;
    const samples = rows
      .filter((row) => row.step_id === stepId && row.metric === name)
      .sort((a, b) => a.sample_no - b.sample_no)
      .map((row) => ({ no: row.sample_no, value: row.value, verdict: row.verdict, at: row.sampled_at }));
    return {
      stepId,
      metric: name,
      unit: metric?.unit ?? '',
      pass: metric?.pass ?? {},
      fail: metric?.fail ?? null,
      consecutiveSuccess: metric?.consecutiveSuccess ?? 0,
      failureLimit: metric?.failureLimit ?? 0,
      samples,
    };
  });
}

function toForbidden(plan: Plan): ForbiddenEvidence[] {
  const forward = plan.steps.filter(isChange).reduce((sum, step) => sum + step.files.length, 0);
  const runs = plan.steps.flatMap((step) =>
    step.kind === 'run'
      ? [step.workflow]
      : step.kind === 'observe' && step.alongside !== null
        ? [step.alongside.workflow]
        : [],
  );
  const unread =
    runs.length === 0
      ? ''
      : ` It does not read the workflows that this macro starts (${[...new Set(runs)].join(', ')}); for these, see their receipts.`;
  const lint = `Shown by the lint only: planning read the ${forward} forward ${forward === 1 ? 'file' : 'files'} whose texts are pinned here and found nothing of it; nothing was measured while it ran.${unread}`;
  return (Object.keys(FORBIDDEN_ACTIONS) as ForbiddenAction[]).map((action) => {
    const meaning = FORBIDDEN_ACTIONS[action];
    if (plan.lifts.includes(action)) {
      return {
        action,
        meaning,
        shownBy: 'lifted',
        detail: 'Lifted: the manifest names it, so this macro may do it.',
      };
    }
    if (action === 'secret-exposure') {
      return {
        action,
        meaning,
        shownBy: 'scan',
        detail:
          'Every text of this document was scanned for passwords, tokens and keys; logs and histories were not.',
      };
    }
    return { action, meaning, shownBy: 'lint', detail: lint };
  });
}
