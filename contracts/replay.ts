/** How a replay treats its letters; frozen in the plan, and so part of its hash. Durations are milliseconds. */
export interface ReplayPolicy {
  /** Letters that go first: a number, or one of each route and fingerprint. 0: none. */
  readonly canary: number | 'each';
  /** Letters of the canary that may fail for good before the run stops. */
  readonly canaryFailureLimit: number;
  /** Letters that may fail for good before the run stops, those of the canary included. */
  readonly failureLimit: number;
  /** Letters tried per second, repeats included; null: as fast as it goes. */
  readonly ratePerSecond: number | null;
  /** Tries that a letter gets in this plan, at least 1. */
  readonly attempts: number;
  readonly initialIntervalMs: number;
  readonly backoff: number;
  readonly maximumIntervalMs: number;
  /** Part of the interval that is drawn by lot: 0 none, 1 all of it. */
  readonly jitter: number;
  /** Failure codes after which a letter is not tried again. */
  readonly notRetryable: readonly string[];
}

/** Careful by default: one of each kind of failure first, and none of those may fail. */
export const REPLAY_POLICY: ReplayPolicy = {
  canary: 'each',
  canaryFailureLimit: 0,
  failureLimit: 10,
  ratePerSecond: 100,
  attempts: 1,
  initialIntervalMs: 1_000,
  backoff: 2,
  maximumIntervalMs: 60_000,
  jitter: 0.2,
  notRetryable: [],
};

/** Which dead letters a plan is about; what is absent does not matter. Times are ISO 8601. */
export interface ReplayFilter {
  readonly routes?: readonly string[];
  readonly codes?: readonly string[];
  readonly fingerprints?: readonly string[];
  readonly failedSince?: string;
  readonly failedUntil?: string;
  readonly ids?: readonly string[];
  /** Open ones by default; parked ones where asked for. */
  readonly states?: readonly ('open' | 'parked')[];
  /** The oldest so many. */
  readonly maxLetters?: number;
  /** Leaves letters alone that were replayed so often. */
  readonly maxReplays?: number;
  /** Also letters whose route is in dry run: they are resolved, and nothing is delivered. */
  readonly includeDryRun?: boolean;
}

export const TRY_OUT_VERDICTS = ['fixed', 'still_failing', 'unknown'] as const;
export type TryOutVerdict = (typeof TRY_OUT_VERDICTS)[number];

/** Letters of one route and fingerprint in a plan. */
export interface PlanGroup {
  readonly route: string | null;
  readonly fingerprint: string;
  readonly failureCode: string;
  /** The newest failure's message, as an example. */
  readonly message: string;
  readonly letters: number;
  /** What became of the letters that were tried out: so many of `letters`. */
  readonly tried: number;
  readonly fixed: number;
  readonly stillFailing: number;
  readonly unknown: number;
  /** Why it is unknown, or how it still fails. */
  readonly because: string | null;
}

/** A route that a plan replays to, as it was when the plan was made. */
export interface PlanRoute {
  readonly route: string;
  readonly targetKind: string;
  readonly targetRef: string;
  /** Targets that its letters were meant for, where they were others. */
  readonly formerTargetRefs: readonly string[];
  /** live, dry_run, or the gate that is closed. */
  readonly mode: string;
  /** closed, open or half_open; null where deliveries are not queued. */
  readonly breaker: string | null;
  readonly isOrdered: boolean;
}

/** Letters that the filter matches and the plan leaves alone. */
export interface PlanExclusion {
  /** already_delivered, queued, dry_run, route_removed, route_disabled, not_taken */
  readonly because: string;
  readonly route: string | null;
  readonly letters: number;
}

/** What `fn_iu_replay_plan` answers. */
export interface ReplayPlan {
  /** 64 hex digits; a prefix of at least 8 is enough for people. Null where the filter matches nothing to replay. */
  readonly planHash: string | null;
  readonly letters: number;
  readonly canaryLetters: number;
  readonly groups: readonly PlanGroup[];
  readonly routes: readonly PlanRoute[];
  readonly excluded: readonly PlanExclusion[];
  readonly policy: ReplayPolicy;
  readonly filter: ReplayFilter;
  readonly needsApproval: boolean;
  readonly approvedBy: string | null;
  readonly actor: string;
  readonly reason: string;
  readonly plannedAt: string;
  readonly expiresAt: string;
}

/** planned: never run; running; cancelled: a new run goes on; stopped (failure limit) and executed are final. */
export const REPLAY_STATES = ['planned', 'running', 'cancelled', 'stopped', 'executed'] as const;
export type ReplayState = (typeof REPLAY_STATES)[number];

/** Counts of a plan's letters, read from their rows: they only ever grow towards `letters`. */
export interface ReplayProgress {
  readonly planHash: string;
  readonly state: ReplayState;
  readonly letters: number;
  readonly resolved: number;
  readonly failed: number;
  readonly skipped: number;
  /** In the queue of deliveries. */
  readonly inFlight: number;
  /** Waiting for their first or next try. */
  readonly waiting: number;
  readonly tries: number;
  readonly canary: 'none' | 'running' | 'passed' | 'failed';
  readonly ratePerSecond: number | null;
  /** Who holds it, or the gate that does; null where it goes on. */
  readonly heldBy: string | null;
  readonly heldBecause: string | null;
}

/** Who or what holds a replay, and why, in one text; null where it goes on. */
export function holdOf({ heldBy, heldBecause }: ReplayProgress): string | null {
  return heldBy === null && heldBecause === null ? null : `${heldBy ?? ''}: ${heldBecause ?? ''}`;
}

/** Input of the `replayDeadLetters` workflow. */
export interface ReplayInput {
  readonly target: string;
  /** Null: the one plan that is open on the target. */
  readonly planHash: string | null;
  readonly actor: string;
  readonly reason: string;
  /** Ends after the canary has passed; a later run goes on. */
  readonly until?: 'canary' | 'end';
  /** How long one activity replays, in milliseconds; {@link REPLAY_DEFAULTS}. */
  readonly sliceMs?: number;
  readonly slicesPerRun?: number;
  /** Letters of one transaction. */
  readonly batchSize?: number;
  /** What the run before this one hands on when it continues as new; nobody else gives it. */
  readonly carried?: ReplayCarried;
}

export interface ReplayCarried {
  readonly planHash: string;
  readonly total: ReplayProgress;
  /** Runs of the chain before this one. */
  readonly runs: number;
  /** Temporal's id of the first run of the chain: the run as the target knows it. */
  readonly runId: string;
}

/** A slice is about 6 history events, and so is a look at a closed gate: far below 4,096 before it continues as new. */
export const REPLAY_DEFAULTS = {
  sliceMs: 60_000,
  childSliceMs: 600_000,
  slicesPerRun: 60,
  batchSize: 500,
  /** Deliveries of the plan that may be queued at once. */
  window: 2_000,
  /** How often a run that a gate holds looks again. */
  lookAgainMs: 5_000,
  /** How long one letter may take where a batch is repeated letter by letter. */
  letterTimeoutMs: 10_000,
} as const;

/** How a run ended: its plan is executed, its canary passed (`until: 'canary'`), or the failure limit stopped it. */
export interface ReplayResult extends ReplayProgress {
  readonly outcome: 'executed' | 'canary_passed' | 'stopped';
  readonly because: string | null;
}

export const REPLAY_UPDATES = {
  hold: 'hold',
  release: 'release',
  skip: 'skip',
  setRate: 'setRate',
} as const;

/** Argument of every update: who and why. */
export interface ReplayControl {
  readonly actor: string;
  readonly reason: string;
}
export interface ReplaySetRate extends ReplayControl {
  /** Letters per second; null: as fast as it goes. */
  readonly ratePerSecond: number | null;
}
/** Exactly one of the three. Letters that were not tried yet, or wait for another try, are skipped and stay open. */
export interface ReplaySkip extends ReplayControl {
  readonly route?: string;
  readonly fingerprint?: string;
  readonly ids?: readonly string[];
}

export interface OpenReplayInput extends ReplayControl {
  readonly target: string;
  readonly planHash: string | null;
}
export interface OpenedReplay {
  readonly planHash: string;
  readonly progress: ReplayProgress;
}
export interface ReplaySliceInput {
  readonly target: string;
  readonly planHash: string;
  readonly runId: string;
  readonly until: 'canary' | 'end';
  readonly sliceMs: number;
  readonly batchSize: number;
  /** The hold that the run shows ({@link holdOf}): the slice ends as soon as that is no longer so. */
  readonly shownHold: string | null;
}
export interface ReplaySlice extends ReplayProgress {
  /** slice: its time is over, or a gate closed or opened; held: by a person; the others end the run. */
  readonly ended: 'slice' | 'held' | 'executed' | 'canary_passed' | 'stopped' | 'cancelled';
  readonly because: string | null;
}
export interface SteerReplayInput extends ReplayControl {
  readonly target: string;
  readonly planHash: string;
  readonly runId: string;
  readonly what: 'hold' | 'release' | 'skip' | 'rate' | 'cancel';
  readonly value?: Omit<ReplaySkip, keyof ReplayControl> | { readonly ratePerSecond: number | null };
}
export interface CloseReplayInput {
  readonly target: string;
  readonly planHash: string;
  readonly runId: string;
  readonly outcome: ReplayResult['outcome'] | 'cancelled' | 'failed';
  readonly because: string | null;
}

/** On the task queue of macros. */
export interface ReplayActivities {
  openReplay(input: OpenReplayInput): Promise<OpenedReplay>;
  steerReplay(input: SteerReplayInput): Promise<ReplayProgress>;
  closeReplay(input: CloseReplayInput): Promise<ReplayProgress>;
  planByPolicy(input: PlanByPolicyInput): Promise<PlannedByPolicy>;
}
/** On the task queue of deliveries. */
export interface ReplaySliceActivities {
  replaySlice(input: ReplaySliceInput): Promise<ReplaySlice>;
}

/** Input of the scheduled workflow `replayByPolicy`. */
export interface ReplayByPolicyInput extends ReplayControl {
  readonly target: string;
}
export interface PlanByPolicyInput extends ReplayControl {
  readonly target: string;
}
export interface PlannedByPolicy {
  /** One for each policy that is switched on and matched letters. */
  readonly plans: readonly { readonly policy: string; readonly planHash: string; readonly letters: number }[];
  /** Policies that did nothing, each with why: switched off, nothing matches, too many letters without approval. */
  readonly passedOver: readonly { readonly policy: string; readonly because: string }[];
}

/** What `replayByPolicy` did: each plan with how its run ended. */
export interface ReplayByPolicyResult {
  readonly plans: readonly {
    readonly policy: string;
    readonly planHash: string;
    /** failed: its run broke off, `because` says how; what it left stays open. */
    readonly outcome: ReplayResult['outcome'] | 'failed';
    readonly resolved: number;
    readonly failed: number;
    readonly because: string | null;
  }[];
  readonly passedOver: PlannedByPolicy['passedOver'];
}
