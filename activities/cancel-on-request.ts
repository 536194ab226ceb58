import { setTimeout as delay } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import type pg from 'pg';
import { withSession } from '../target/open-session.ts';

/** Milliseconds between two requests to cancel; a session between two statements does not hear the first. */
const REPEAT_AFTER_MS = 250;

/**
 * While `work` runs, a cancellation of the activity cancels the statement that the session executes, so that a
 * long migration stops within seconds. What it was doing is rolled back by its own transaction.
 */
export async function cancelOnRequest<T>(url: string, client: pg.Client, work: () => Promise<T>): Promise<T> {
  const { cancellationSignal } = Context.current();
  const pid = (client as pg.Client & { processID?: number | null }).processID;
  const finished = new AbortController();
  let cancelling: Promise<void> = Promise.resolve();
  const onCancelled = () => {
    cancelling = cancelUntil(finished.signal, url, pid ?? 0);
  };
  cancellationSignal.addEventListener('abort', onCancelled, { once: true });
  if (cancellationSignal.aborted) onCancelled();
  try {
    return await work();
  } finally {
    finished.abort();
    cancellationSignal.removeEventListener('abort', onCancelled);
    await cancelling;
  }
}

async function cancelUntil(finished: AbortSignal, url: string, pid: number): Promise<void> {
  while (!finished.aborted) {
    await withSession({ url, applicationName: 'sluice:cancel' }, async (other) => {
      while (!finished.aborted) {
        await other.query('select pg_cancel_backend($1)', [pid]);
        await delay(REPEAT_AFTER_MS, undefined, { signal: finished });
      }
    }).catch(() => delay(REPEAT_AFTER_MS, undefined, { signal: finished }).catch(() => undefined));
  }
}
