import { setCurrentDetails, upsertMemo, upsertSearchAttributes } from '@temporalio/workflow';
import type { OpenedRun } from '../contracts/macro-activities.ts';
import type {
  LeftToDo,
  MacroStatus,
  PendingApproval,
  StepState,
  StepStatus,
} from '../contracts/macro-run.ts';
import type { Outcome } from '../contracts/outcome.ts';
import type { Plan } from '../contracts/plan.ts';
import type { Verdict } from '../contracts/verdict.ts';
import { renderCurrentDetails } from './current-details.ts';
import { SEARCH_ATTRIBUTE_KEYS } from './search-attribute-keys.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What a run knows of itself; every change is shown in the Temporal UI at once. */
export class RunState {
  readonly status: Mutable<Omit<MacroStatus, 'steps'>> & { steps: Mutable<StepStatus>[] };
  readonly requester: string;
  /** Fingerprint of the database when the held run came to rest; null while it goes. */
  heldFingerprint: string | null = null;

  constructor(input: { target: string; actor: string }) {
    this.requester = input.actor;
    this.status = {
      runId: null,
      runNo: null,
      macro: null,
      target: input.target,
      planHash: null,
      phase: 'opening',
      outcome: null,
      steps: [],
      pendingApproval: null,
      held: null,
      cause: '',
      leftToDo: [],
    };
  }

  open(opened: OpenedRun, planHash: string): void {
    Object.assign(this.status, {
      runId: opened.runId,
      runNo: opened.runNo,
      macro: opened.plan.macro,
      planHash,
      steps: opened.plan.steps.map(pendingStep),
    });
    upsertMemo({ macro: opened.plan.macro, runNo: opened.runNo, runId: opened.runId });
    upsertSearchAttributes([
      { key: SEARCH_ATTRIBUTE_KEYS.SluiceMacro, value: opened.plan.macro },
      { key: SEARCH_ATTRIBUTE_KEYS.SluiceTarget, value: this.status.target },
    ]);
  }

  /** The step table's row; the id comes from the plan. */
  step(id: string): Mutable<StepStatus> {
    const found = this.status.steps.find((step) => step.id === id);
    if (found === undefined) throw new Error(`no step ${id}`);
    return found;
  }

  setStep(
    id: string,
    change: Partial<{ state: StepState; verdict: Verdict; detail: string; attempts: number }>,
  ): void {
    Object.assign(this.step(id), change);
    this.show();
  }

  setPhase(phase: string): void {
    if (this.status.phase !== phase) {
      this.status.phase = phase;
      upsertSearchAttributes([{ key: SEARCH_ATTRIBUTE_KEYS.SluicePhase, value: phase }]);
    }
    this.show();
  }

  setPendingApproval(pending: PendingApproval | null): void {
    this.status.pendingApproval = pending;
    this.show();
  }

  setHeld(held: MacroStatus['held']): void {
    this.status.held = held;
    this.show();
  }

  end(outcome: Outcome, leftToDo: readonly LeftToDo[]): void {
    this.status.outcome = outcome;
    this.status.leftToDo = leftToDo;
    upsertSearchAttributes([{ key: SEARCH_ATTRIBUTE_KEYS.SluiceOutcome, value: outcome }]);
    this.setPhase('ended');
  }

  show(): void {
    setCurrentDetails(renderCurrentDetails(this.status, this.requester));
  }
}

function pendingStep(step: Plan['steps'][number]): StepStatus {
  return {
    id: step.id,
    kind: step.kind,
    title: step.title,
    state: 'pending',
    verdict: 'not_run',
    attempts: 0,
    durationMs: 0,
    undoDurationMs: null,
    detail: '',
  };
}
