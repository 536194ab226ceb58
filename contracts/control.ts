/**
 * What a person says with every update. `actor` is what the caller claims; evidence keeps it beside the
 * identity that Temporal recorded, and labels it as claimed.
 */
export interface ControlInput {
  readonly actor: string;
  readonly reason: string;
  readonly ticket?: string;
}

export interface ApproveInput extends ControlInput {
  /** Must equal the hash of the plan that runs. */
  readonly planHash: string;
  /** Must equal the fingerprint that the pending approval shows. */
  readonly fingerprint: string;
}

export interface ReleaseInput extends ControlInput {
  /** Needed only when the database changed while the run was held: the fingerprint that is accepted. */
  readonly acceptFingerprint?: string;
}

/** Update names, as the Temporal UI shows them. */
export const UPDATE_NAMES = ['approve', 'reject', 'hold', 'release', 'retryStep', 'rollback'] as const;
export type UpdateName = (typeof UPDATE_NAMES)[number];

/** The query that returns a {@link import('./macro-run.ts').MacroStatus}. */
export const STATUS_QUERY = 'status';
