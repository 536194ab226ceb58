import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';

/** A failure that ends the workflow instead of retrying its task for ever, as a plain `Error` would. */
export function fail(type: string, message: string, details: unknown[] = []): ApplicationFailure {
  return ApplicationFailure.create({ type, message, nonRetryable: true, details });
}

/** What an error of a step says: its type, its words, and the attempts it took. */
export interface StepFailure {
  readonly type: string;
  readonly message: string;
  readonly attempts: number;
}

/** Unwraps the failure of an activity or a child workflow. */
export function explain(error: unknown): StepFailure {
  let cause: unknown = error;
  while (cause instanceof ActivityFailure || cause instanceof ChildWorkflowFailure) cause = cause.cause;
  if (isCancellation(cause)) return { type: 'cancelled', message: 'cancelled', attempts: 0 };
  if (cause instanceof ApplicationFailure) {
    const attempt = (cause.details?.[0] as { attempt?: number } | undefined)?.attempt;
    return { type: cause.type ?? 'unexpected', message: cause.message, attempts: attempt ?? 1 };
  }
  if (cause instanceof TimeoutFailure) {
    return {
      type: 'unexpected',
      message: `no answer in time (${cause.timeoutType}); the receipt tells whether it committed`,
      attempts: 1,
    };
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  return { type: 'unexpected', message, attempts: 1 };
}
