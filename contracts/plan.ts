import type { ForbiddenAction } from './forbidden-actions.ts';
import type { StepKind } from './step-kind.ts';

/** A pinned text: `sha256` (lower-case hex) names a row of `sluice.script`; `path` is where planning read it. */
export interface ScriptRef {
  readonly path: string;
  readonly sha256: string;
}

/** A forward file with the file that undoes it. `undo` is null only for an irreversible step. */
export interface FilePair {
  readonly do: ScriptRef;
  readonly undo: ScriptRef | null;
  /** Present when the file cannot run in a transaction: a query that reports `pass` once its effect is there. */
  readonly doneWhen?: ScriptRef;
}

/** Numeric limits of a metric; a bound that is absent does not limit. */
export interface MetricLimit {
  readonly min?: number;
  readonly max?: number;
}

/** A metric: SQL that returns one row with a numeric column `value`. */
export interface PlannedMetric {
  readonly name: string;
  readonly unit: string;
  readonly script: ScriptRef;
  readonly pass: MetricLimit;
  /** Outside these limits a sample is a failure; between the two it is inconclusive. */
  readonly fail?: MetricLimit;
  /** So many samples in a row, the last ones of the window, must pass. */
  readonly consecutiveSuccess: number;
  /** More failing samples than this fail the step at once. */
  readonly failureLimit: number;
}

interface StepCommon {
  /** Unique in the manifest; kebab-case. */
  readonly id: string;
  readonly kind: StepKind;
  readonly title: string;
  /** What a failed step leads to. `hold` waits for a person (`retryStep` or `rollback`). */
  readonly onFail: 'rollback' | 'hold';
}

/** Read-only scripts that report verdicts. */
export interface PlannedCheckStep extends StepCommon {
  readonly kind: 'check' | 'verify' | 'probe';
  readonly scripts: readonly ScriptRef[];
  /** Read-only scripts that run after a probe was rolled back; empty for `check` and `verify`. */
  readonly after: readonly ScriptRef[];
}

export interface PlannedBackupStep extends StepCommon {
  readonly kind: 'backup';
  /** `none` needs a reason, and the evidence prints it. */
  readonly mode: 'dump' | 'none';
  readonly reason: string | null;
}

export interface PlannedChangeStep extends StepCommon {
  readonly kind: 'migrate' | 'enable';
  readonly files: readonly FilePair[];
  /** Read-only check: where it passes, the step already holds and is marked `already_applied`. */
  readonly holds: ScriptRef | null;
  readonly irreversibleReason: string | null;
}

export interface PlannedApproveStep extends StepCommon {
  readonly kind: 'approve';
  /** How long the approval may be given, in milliseconds. */
  readonly expiresMs: number;
}

export interface PlannedRunStep extends StepCommon {
  readonly kind: 'run';
  /** Workflow type that the package registers. */
  readonly workflow: string;
  readonly input: { readonly [key: string]: string | number | boolean | null };
}

export interface PlannedObserveStep extends StepCommon {
  readonly kind: 'observe';
  readonly windowMs: number;
  readonly intervalMs: number;
  readonly metrics: readonly PlannedMetric[];
  /** A registered workflow that runs beside the window and is cancelled at its end. */
  readonly alongside: Pick<PlannedRunStep, 'workflow' | 'input'> | null;
}

export type PlannedStep =
  | PlannedCheckStep
  | PlannedBackupStep
  | PlannedChangeStep
  | PlannedApproveStep
  | PlannedRunStep
  | PlannedObserveStep;

/** A step of the disable runbook that runs when a rollback script refuses. */
export interface DisableStep {
  readonly id: string;
  readonly title: string;
  readonly script: ScriptRef;
}

/** The canonical plan; the sha256 of its canonical JSON (`planning/canonical-json.ts`) is the plan hash. */
export interface Plan {
  readonly format: 1;
  readonly macro: string;
  readonly title: string;
  readonly target: string;
  /** Schema of the target that the managed files are run in. */
  readonly schema: string;
  /** Forbidden actions that this macro names and thereby lifts. */
  readonly lifts: readonly ForbiddenAction[];
  readonly steps: readonly PlannedStep[];
  readonly disable: readonly DisableStep[];
  /** What the evidence names as the exact next macro, if the manifest names one. */
  readonly next: string | null;
  /** Values that planning was told to use instead of the manifest's, as `stepId.field`; absent when there are none. */
  readonly overrides?: { readonly [field: string]: string };
}

/** Steps of these kinds change the target and therefore have an undo. */
export function isChange(step: PlannedStep): step is PlannedChangeStep {
  return step.kind === 'migrate' || step.kind === 'enable';
}
