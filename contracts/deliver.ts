/** Input of the `deliver` workflow: what is due is delivered, once or for `forMs`. */
export interface DeliverInput {
  readonly target: string;
  /** 0: until nothing is due. Otherwise it goes on looking for so many milliseconds. */
  readonly forMs: number;
  /** Pause between two looks at a queue in which nothing is due, in milliseconds. */
  readonly idleMs: number;
  /** How long one activity delivers, in milliseconds; {@link DELIVER_DEFAULTS}. */
  readonly sliceMs?: number;
  /** Slices after which the workflow continues as new, if it is no child; {@link DELIVER_DEFAULTS}. */
  readonly slicesPerRun?: number;
  /** What the run before this one hands on when it continues as new; nobody else gives it. */
  readonly carried?: DeliverCarried;
}

/**
 * A slice waits at its end for requests that are in flight, so slices are long. One is about 6 history events: 60 of
 * them, five hours, are far below the 4,096 at which Temporal suggests to continue as new.
 */
export const DELIVER_DEFAULTS = {
  idleMs: 250,
  sliceMs: 300_000,
  childSliceMs: 600_000,
  slicesPerRun: 60,
} as const;

export interface DeliverCarried {
  readonly total: DeliverResult;
  /** When `forMs` is over, in milliseconds since 1970. */
  readonly endsAtMs: number;
  /** Runs of the chain before this one. */
  readonly runs: number;
}

/** Counts of tries that were settled; the whole chain of runs counts as one. */
export interface DeliverResult {
  readonly sent: number;
  /** Tries that their target did not want. */
  readonly skipped: number;
  /** Tries that failed: retried and dead-lettered together. */
  readonly failed: number;
  /** Failed tries that are followed by another one. */
  readonly retried: number;
  /** Failed tries that were the last. */
  readonly deadLettered: number;
  /** Outcomes of which nothing is recorded, because their lease was over: the deliveries are tried again. */
  readonly refused: number;
  /** Requests under way at this moment; 0 at the end. */
  readonly inFlight: number;
  /** Time that activities spent on it, pauses included. */
  readonly seconds: number;
  /** Settled tries per second. */
  readonly perSecond: number;
  /** Last status of `fn_iu_route_delivery_work`: `open`, `delivery_gate_closed`, … */
  readonly status: string;
}

/** What nothing was delivered yet looks like. */
export const NOTHING_DELIVERED: DeliverResult = {
  sent: 0,
  skipped: 0,
  failed: 0,
  retried: 0,
  deadLettered: 0,
  refused: 0,
  inFlight: 0,
  seconds: 0,
  perSecond: 0,
  status: 'not_run',
};

/** Input of one slice. */
export interface DeliverSliceInput extends Pick<DeliverInput, 'target' | 'forMs' | 'idleMs'> {
  readonly sliceMs: number;
}

/** A slice's own counts. */
export interface DeliverSlice extends DeliverResult {
  /** Nothing was due, and `forMs` was over. */
  readonly isDone: boolean;
}

export interface DeliverActivities {
  deliverSlice(input: DeliverSliceInput): Promise<DeliverSlice>;
}

/** The counts of two parts together; what is in flight and the status are the later one's. */
export function addDelivered(before: DeliverResult, after: DeliverResult): DeliverResult {
  const sent = before.sent + after.sent;
  const skipped = before.skipped + after.skipped;
  const failed = before.failed + after.failed;
  const seconds = Math.round((before.seconds + after.seconds) * 1_000) / 1_000;
  return {
    sent,
    skipped,
    failed,
    retried: before.retried + after.retried,
    deadLettered: before.deadLettered + after.deadLettered,
    refused: before.refused + after.refused,
    inFlight: after.inFlight,
    seconds,
    perSecond: seconds === 0 ? 0 : Math.round((sent + skipped + failed) / seconds),
    status: after.status,
  };
}
