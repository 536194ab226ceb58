/** Input of the `retention` workflow. */
export interface RetentionInput {
  readonly target: string;
  /** False: nothing is dropped; what would leave is told. */
  readonly apply: boolean;
  /** Who wants it, and why; recorded with every partition that leaves. */
  readonly actor: string;
  readonly reason: string;
  /** At most so many partitions leave in one run; {@link RETENTION_DEFAULTS}. */
  readonly dropsPerRun?: number;
  /** How long a drop waits for its locks, and so keeps writers and runs waiting at most, in milliseconds. */
  readonly lockTimeoutMs?: number;
}

/** A drop is about 6 history events: a run stays far below the suggested 4,096. */
export const RETENTION_DEFAULTS = { dropsPerRun: 200, lockTimeoutMs: 500 } as const;

/** One partition of the outbox and its attempts, as `fn_iu_retention_plan()` answers. */
export interface RetentionPartition {
  readonly partition: string;
  /** It holds events from before this moment. */
  readonly upper_at: string;
  readonly events: number;
  readonly attempts: number;
  readonly leaves: boolean;
  /** Null where it leaves. */
  readonly stays_because: string | null;
}

/** What `fn_iu_retention_plan()` answers. */
export interface RetentionPlan {
  /** Whether the gate `iu_core.retention_enabled` is open. */
  readonly enabled: boolean;
  readonly keep_days: number;
  readonly cutoff: string;
  /** Those that are there, the oldest first. */
  readonly partitions: readonly RetentionPartition[];
  /** Events in the default partition, which never leaves. */
  readonly default_rows: number;
}

export interface RetiredPartition {
  readonly partition: string;
  readonly events: number;
  readonly attempts: number;
}

export interface RetentionResult {
  readonly applied: boolean;
  readonly enabled: boolean;
  readonly cutoff: string;
  readonly created: readonly string[];
  readonly dropped: readonly RetiredPartition[];
  readonly kept: readonly { readonly partition: string; readonly because: string }[];
  /** Why the partitions of the coming time could not be made; null where they are there. Nothing is lost without them. */
  readonly notPrepared: string | null;
}

/** Which partition leaves, and who wants it. */
export interface RetireInput extends Pick<RetentionInput, 'target' | 'actor' | 'reason'> {
  readonly partition: string;
  readonly lockTimeoutMs: number;
}

export interface RetentionActivities {
  retirePlan(input: { target: string }): Promise<RetentionPlan>;
  retirePrepare(input: { target: string; lockTimeoutMs: number }): Promise<{ created: readonly string[] }>;
  retirePartition(input: RetireInput): Promise<RetiredPartition>;
}
