import type { ControlInput, UpdateName } from './control.ts';
import type { LeftToDo, MacroInput, StepResult, UndoInput, UndoResult } from './macro-run.ts';
import type { Outcome } from './outcome.ts';
import type { Plan } from './plan.ts';

/** Names a step of a run; the texts come from the plan that the target stores. */
export interface StepRef {
  readonly target: string;
  readonly runId: string;
  readonly stepId: string;
}

/** Answer of `openRun`: the run's row in the target, and the plan without its texts. */
export interface OpenedRun {
  readonly runId: string;
  readonly runNo: number;
  readonly plan: Plan;
  readonly fingerprint: string;
}

/** Answer of `openUndo`: what the receipts say must be undone, last step first. */
export interface OpenedUndo extends OpenedRun {
  readonly planHash: string;
  readonly undoStepIds: readonly string[];
}

export interface RecordedControl {
  readonly target: string;
  readonly runId: string;
  readonly stepId: string | null;
  readonly action: UpdateName | 'cancel' | 'expired';
  readonly control: ControlInput;
  readonly updateId: string | null;
  /** Fingerprint and plan hash an approval is bound to. */
  readonly planHash?: string;
  readonly fingerprint?: string;
}

export interface CloseRunInput {
  readonly target: string;
  readonly runId: string;
  readonly outcome: Outcome;
  readonly cause: string;
  readonly leftToDo: readonly LeftToDo[];
}

/** Every activity that `workflows/macro.ts` and `workflows/undo-macro.ts` call. */
export interface MacroActivities {
  openRun(input: MacroInput): Promise<OpenedRun>;
  openUndo(input: UndoInput): Promise<OpenedUndo>;
  closeRun(input: CloseRunInput): Promise<void>;
  readFingerprint(input: { target: string }): Promise<string>;
  recordControl(input: RecordedControl): Promise<void>;
  /** Records the step as approved and gives it its receipt; refuses when the database changed since. */
  recordApproval(input: RecordedControl & StepRef): Promise<StepResult>;
  runCheck(ref: StepRef): Promise<StepResult>;
  /** Reads a check again that passed before a wait; its receipt stays as it is. */
  repeatCheck(ref: StepRef): Promise<StepResult>;
  takeBackup(ref: StepRef): Promise<StepResult>;
  applyChange(ref: StepRef): Promise<StepResult>;
  undoChange(ref: StepRef & { byRunId: string }): Promise<UndoResult>;
  runProbe(ref: StepRef): Promise<StepResult>;
  observeWindow(ref: StepRef): Promise<StepResult>;
  runVerify(ref: StepRef): Promise<StepResult>;
  /** Receipt of a `run` step whose child workflow has ended. */
  recordChild(ref: StepRef & { workflowId: string; result: string }): Promise<StepResult>;
  runDisable(ref: StepRef & { byRunId: string }): Promise<StepResult>;
}

export type { DrainResult } from './drain.ts';
