import type { ForbiddenAction } from '../contracts/forbidden-actions.ts';
import type { LeftToDo } from '../contracts/macro-run.ts';
import type { Outcome } from '../contracts/outcome.ts';
import type { Plan, PlannedMetric } from '../contracts/plan.ts';
import type { StepKind } from '../contracts/step-kind.ts';
import type { CheckRow, Verdict } from '../contracts/verdict.ts';

/** Name and version of the document; a change that breaks a reader raises the number. */
export const EVIDENCE_FORMAT = 'sluice.evidence/1';

/** A row of `sluice.evidence`, verbatim. `redacted` is set where a secret was cut out of the payload. */
export interface ChainRow {
  readonly seq: number;
  readonly source: string;
  readonly payload: string;
  readonly prevHash: string;
  readonly hash: string;
  readonly redacted?: true;
}

/** The chain of another run that this document tells about: the undo runs, or the run that was taken back. */
export interface RelatedChain {
  readonly runId: string;
  readonly rows: readonly ChainRow[];
}

/** A run as its row tells it. Times are ISO 8601 in UTC; durations are milliseconds. */
export interface RunEvidence {
  readonly runId: string;
  readonly runNo: number;
  readonly kind: 'forward' | 'undo';
  readonly macro: string;
  readonly target: string;
  readonly planHash: string;
  readonly workflowId: string;
  readonly temporal: {
    readonly runId: string;
    readonly namespace: string;
    readonly address: string;
    readonly clusterId: string;
  };
  /** Claimed by the caller; `temporalIdentity` is what Temporal itself recorded. */
  readonly actor: { readonly claimed: string; readonly temporalIdentity: string | null };
  readonly reason: string;
  readonly ticket: string | null;
  readonly startedAt: string;
  /** Null while the run is unfinished. */
  readonly finishedAt: string | null;
  readonly durationMs: number | null;
  readonly outcome: Outcome | null;
  readonly cause: string;
  readonly leftToDo: readonly LeftToDo[];
  /** Definitions only, no data; `equal` is null while the end is not known. */
  readonly fingerprint: {
    readonly atStart: string;
    readonly atEnd: string | null;
    readonly equal: boolean | null;
  };
}

/** A recorded result of a step, or of one file of it. */
export interface ReceiptEvidence {
  readonly part: string;
  readonly direction: 'do' | 'undo';
  readonly state: 'done' | 'already_applied' | 'voided' | 'undone' | 'refused';
  readonly verdict: Verdict;
  readonly detail: string;
  readonly checks: readonly CheckRow[];
  readonly facts: Readonly<Record<string, unknown>>;
  readonly scriptSha256: string | null;
  readonly attempt: number;
  /** Run that wrote it: this one, or an undo run. */
  readonly byRunId: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly durationMs: number;
}

/** An attempt that failed; it left nothing in the target but this. */
export interface FailureEvidence {
  readonly direction: 'do' | 'undo';
  readonly attempt: number;
  readonly code: string;
  readonly message: string;
  readonly checks: readonly CheckRow[];
  readonly byRunId: string;
  readonly failedAt: string;
}

/**
 * What became of a step going forward. `stopped`: it had begun and committed nothing. `partial`: some of its
 * files committed. `current`: an unfinished run stands here.
 */
export type ForwardState =
  | 'done'
  | 'already_applied'
  | 'partial'
  | 'failed'
  | 'stopped'
  | 'current'
  | 'not_reached';

/** What became of its undo. `voided`: there was nothing to undo, and the slot is closed for good. */
export type UndoState = 'undone' | 'voided' | 'refused' | 'failed';

/** Whether its change stands in the target by the receipts; `ran`: a workflow that has no undo. Null for steps that change nothing. */
export type Effect = 'in_effect' | 'ran' | 'held_before' | 'taken_back' | 'none' | 'unknown';

export interface StepEvidence {
  readonly id: string;
  /** `disable` for a step of the disable runbook. */
  readonly kind: StepKind | 'disable';
  readonly title: string;
  readonly state: ForwardState;
  readonly undo: UndoState | null;
  readonly effect: Effect | null;
  readonly verdict: Verdict;
  readonly detail: string;
  readonly attempts: number;
  readonly durationMs: number;
  readonly undoDurationMs: number | null;
  readonly receipts: readonly ReceiptEvidence[];
  readonly failures: readonly FailureEvidence[];
  /** Files that cannot run in a transaction and were about to run. */
  readonly intents: readonly { readonly part: string; readonly declaredAt: string }[];
}

export interface ControlEvidence {
  readonly stepId: string | null;
  readonly action: string;
  readonly actor: { readonly claimed: string; readonly temporalIdentity: string | null };
  readonly reason: string;
  readonly ticket: string | null;
  readonly planHash: string | null;
  readonly fingerprint: string | null;
  readonly updateId: string | null;
  readonly actedAt: string;
}

export interface ObservationEvidence {
  readonly stepId: string;
  readonly metric: string;
  readonly unit: string;
  readonly pass: PlannedMetric['pass'];
  readonly fail: PlannedMetric['pass'] | null;
  readonly consecutiveSuccess: number;
  readonly failureLimit: number;
  readonly samples: readonly {
    readonly no: number;
    readonly value: number | null;
    readonly verdict: Verdict;
    readonly at: string;
  }[];
}

/** How an action that every macro is forbidden was shown not taken; `lint` says: by reading the texts alone. */
export interface ForbiddenEvidence {
  readonly action: ForbiddenAction;
  readonly meaning: string;
  readonly shownBy: 'lifted' | 'lint' | 'scan';
  readonly detail: string;
}

/** A pinned text of the plan. `body` is null where the target no longer has it. */
export interface ScriptEvidence {
  readonly stepId: string;
  readonly role: 'do' | 'undo' | 'done_when' | 'holds' | 'script' | 'metric' | 'disable';
  readonly path: string;
  readonly sha256: string;
  readonly body: string | null;
  readonly redacted?: true;
}

export interface PlanEvidence {
  readonly hash: string;
  /** The text whose sha256 is the hash. */
  readonly canonical: string;
  readonly redacted?: true;
  readonly plannedBy: string;
  readonly plannedAt: string;
  readonly scripts: readonly ScriptEvidence[];
}

/** A number of rows of a read-only proof that the target itself offers. */
export interface ConservationEvidence {
  readonly function: string;
  readonly verdict: Verdict;
  readonly detail: string;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/** What only the live database could say, at the moment of collection; the chain does not cover it. */
export interface AtCollection {
  readonly collectedAt: string;
  readonly serverVersion: string;
  readonly database: string;
  /** Fingerprint now, and whether definitions are still those of the run's end; null where not known. */
  readonly fingerprint: string | null;
  readonly unchangedSinceEnd: boolean | null;
  /** Runs opened after this one, undo runs of it included. */
  readonly laterRuns: readonly {
    readonly runNo: number;
    readonly kind: 'forward' | 'undo';
    readonly macro: string;
    readonly outcome: Outcome | null;
  }[];
  /** The chain was recomputed from the original rows, and the tables were compared with it. */
  readonly integrity: {
    readonly chainHolds: boolean;
    readonly tablesAgree: boolean | null;
    readonly problems: readonly string[];
  };
  readonly redactions: number;
  /** Null where the target has no such function. */
  readonly conservation: ConservationEvidence | null;
}

/** What people read first. */
export interface EvidenceSummary {
  readonly tone: 'good' | 'back' | 'warn' | 'bad' | 'open';
  readonly headline: string;
  /** Sentences about the database as the receipts leave it. */
  readonly trueNow: readonly string[];
  readonly leftToDo: readonly LeftToDo[];
  /** Exact next macro; null where none is named or this run gives no ground for it. */
  readonly next: string | null;
}

/** The part that is computed from the chains and the plan alone, and that verification computes again. */
export interface DerivedEvidence {
  readonly run: RunEvidence;
  readonly planDocument: Plan;
  readonly steps: readonly StepEvidence[];
  /** Steps of the disable runbook that ran. */
  readonly disable: readonly StepEvidence[];
  /** Receipts of steps that the plan does not know; always a reason to look. */
  readonly unplanned: readonly StepEvidence[];
  readonly controls: readonly ControlEvidence[];
  readonly observations: readonly ObservationEvidence[];
  /** Undo runs that took this run back, oldest first. */
  readonly takenBackBy: readonly RunEvidence[];
  /** The run that this undo run takes back. */
  readonly takesBack: RunEvidence | null;
  readonly forbidden: readonly ForbiddenEvidence[];
}

/** One run, from the records of its target: everything that the report shows, and the chain that proves it. */
export interface Evidence extends DerivedEvidence {
  readonly format: typeof EVIDENCE_FORMAT;
  readonly summary: EvidenceSummary;
  readonly plan: PlanEvidence;
  readonly atCollection: AtCollection;
  readonly chain: readonly ChainRow[];
  readonly relatedChains: readonly RelatedChain[];
}
