/** Input of the `drain` workflow: one bounded pass, or passes repeated for `forMs`. */
export interface DrainInput {
  readonly target: string;
  readonly cursorCode: string;
  readonly batchSize: number;
  /** 0: one pass, until nothing is left. Otherwise passes are repeated for so many milliseconds. */
  readonly forMs: number;
  /** Pause between passes that found nothing, in milliseconds. */
  readonly idleMs: number;
  /** How long one activity drains, in milliseconds; {@link DRAIN_DEFAULTS}. */
  readonly sliceMs?: number;
  /** Slices after which the workflow continues as new, if it is no child; {@link DRAIN_DEFAULTS}. */
  readonly slicesPerRun?: number;
  /** How long one event may take where a batch is repeated event by event, in milliseconds. */
  readonly eventTimeoutMs?: number;
  /** What the run before this one hands on when it continues as new; nobody else gives it. */
  readonly carried?: DrainCarried;
}

/**
 * A slice is about 6 history events: 60 of them, an hour of draining, are far below the 4,096 at which Temporal suggests
 * to continue as new. A child cannot, and reaches its 51,200 after two months of slices of ten minutes.
 */
export const DRAIN_DEFAULTS = {
  sliceMs: 60_000,
  childSliceMs: 600_000,
  slicesPerRun: 60,
  eventTimeoutMs: 10_000,
} as const;

export interface DrainCarried {
  readonly total: DrainResult;
  /** When `forMs` is over, in milliseconds since 1970. */
  readonly endsAtMs: number;
  /** Runs of the chain before this one. */
  readonly runs: number;
}

/** Counts of a drain or of a part of it; the whole chain of runs counts as one. */
export interface DrainResult {
  readonly events: number;
  readonly attempts: number;
  readonly deadLettered: number;
  readonly batches: number;
  /** Time that activities spent on it, pauses included. */
  readonly seconds: number;
  readonly eventsPerSecond: number;
  /** Last status of `fn_iu_route_worker_run`: `ran`, `busy`, `worker_gate_closed`, … */
  readonly status: string;
}

/** What nothing was drained yet looks like. */
export const NOTHING_DRAINED: DrainResult = {
  events: 0,
  attempts: 0,
  deadLettered: 0,
  batches: 0,
  seconds: 0,
  eventsPerSecond: 0,
  status: 'not_run',
};

/** Input of one slice. */
export interface DrainSliceInput
  extends Pick<DrainInput, 'target' | 'cursorCode' | 'batchSize' | 'forMs' | 'idleMs' | 'eventTimeoutMs'> {
  readonly sliceMs: number;
}

/** A slice's own counts. */
export interface DrainSlice extends DrainResult {
  /** Nothing was left, and `forMs` was over. */
  readonly isDone: boolean;
}

export interface DrainActivities {
  drainSlice(input: DrainSliceInput): Promise<DrainSlice>;
}

/** The counts of two parts together; the status is the later one's. */
export function addDrained(before: DrainResult, after: DrainResult): DrainResult {
  const events = before.events + after.events;
  const seconds = Math.round((before.seconds + after.seconds) * 1_000) / 1_000;
  return {
    events,
    attempts: before.attempts + after.attempts,
    deadLettered: before.deadLettered + after.deadLettered,
    batches: before.batches + after.batches,
    seconds,
    eventsPerSecond: seconds === 0 ? 0 : Math.round(events / seconds),
    status: after.status,
  };
}
