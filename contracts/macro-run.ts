import type { Outcome } from './outcome.ts';
import type { StepKind } from './step-kind.ts';
import type { CheckRow, Verdict } from './verdict.ts';

/** The one object that starts a run, from the CLI or from the Temporal UI's own form. */
export interface MacroInput {
  readonly target: string;
  readonly planHash: string;
  readonly actor: string;
  readonly reason: string;
  readonly ticket?: string;
  /** Closes and fences an unfinished run whose own Temporal is another one and does not answer. */
  readonly takeOver?: boolean;
}

/** The one object that starts the undo of a run that has ended or was terminated. */
export interface UndoInput {
  readonly target: string;
  /** Engine run id (uuid) of the run to undo. */
  readonly undoRunId: string;
  readonly actor: string;
  readonly reason: string;
  readonly ticket?: string;
  /** Closes and fences an unfinished run whose own Temporal is another one and does not answer. */
  readonly takeOver?: boolean;
}

/** Where a step stands. */
export const STEP_STATES = [
  'pending',
  'running',
  'waiting',
  'done',
  'already_applied',
  'failed',
  'undoing',
  'undone',
  'undo_failed',
  'skipped',
] as const;
export type StepState = (typeof STEP_STATES)[number];

/** One line of the step table. Durations are wall-clock milliseconds, undo included only in `undoDurationMs`. */
export interface StepStatus {
  readonly id: string;
  readonly kind: StepKind;
  readonly title: string;
  readonly state: StepState;
  readonly verdict: Verdict;
  readonly attempts: number;
  readonly durationMs: number;
  readonly undoDurationMs: number | null;
  readonly detail: string;
}

/** What a waiting run waits for. */
export interface PendingApproval {
  readonly stepId: string;
  readonly planHash: string;
  readonly fingerprint: string;
  /** ISO 8601. */
  readonly expiresAt: string;
}

/** What is left when a person must finish: each entry one action, with the way to do it by hand. */
export interface LeftToDo {
  readonly stepId: string;
  readonly what: string;
  readonly how: string;
}

/** Answer of the `status` query, and the result of a run. */
export interface MacroStatus {
  readonly runId: string | null;
  readonly runNo: number | null;
  readonly macro: string | null;
  readonly target: string;
  readonly planHash: string | null;
  /** Kind of the running step, or the state of the run as a whole. */
  readonly phase: string;
  readonly outcome: Outcome | null;
  readonly steps: readonly StepStatus[];
  readonly pendingApproval: PendingApproval | null;
  readonly held: { readonly actor: string; readonly reason: string } | null;
  /** Why the run rolls back or failed; empty while it goes forward. */
  readonly cause: string;
  readonly leftToDo: readonly LeftToDo[];
}

/** What an activity reports of its step. */
export interface StepResult {
  readonly verdict: Verdict;
  readonly state: 'done' | 'already_applied';
  /** One line for the step table. */
  readonly detail: string;
  readonly checks: readonly CheckRow[];
  /** Attempts that this step took, from the receipt. */
  readonly attempts: number;
}

/** What an undo reports. `voided`: the step had left nothing, and its slot is now closed for good. */
export interface UndoResult {
  readonly state: 'undone' | 'voided' | 'nothing_to_undo' | 'refused';
  readonly detail: string;
}
