import { activityInfo, Context } from '@temporalio/activity';

/** Milliseconds between heartbeats; the workflow's heartbeat timeout is five times this. */
const INTERVAL_MS = 2_000;

/**
 * Heartbeats until `work` is done, with the newest progress as details. Without heartbeats an activity would
 * never hear of a cancellation. The first one is sent with the first progress, so a short activity sends none.
 *
 * @param work receives a function that sets the progress (small, no row data)
 */
export async function withHeartbeat<P, T>(work: (report: (progress: P) => void) => Promise<T>): Promise<T> {
  const context = Context.current();
  let progress: P | undefined = activityInfo().heartbeatDetails as P | undefined;
  const timer = setInterval(() => context.heartbeat(progress), INTERVAL_MS);
  try {
    return await work((next) => {
      progress = next;
      context.heartbeat(next);
    });
  } finally {
    clearInterval(timer);
  }
}
