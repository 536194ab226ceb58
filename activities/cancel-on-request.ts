import { Context } from '@temporalio/activity';
import type pg from 'pg';
import { withSession } from '../target/open-session.ts';

/**
 * While `work` runs, a cancellation of the activity cancels the statement that the session executes, so that a
 * long migration stops within seconds. What it was doing is rolled back by its own transaction.
 */
export async function cancelOnRequest<T>(url: string, client: pg.Client, work: () => Promise<T>): Promise<T> {
  const pid = (client as pg.Client & { processID?: number | null }).processID;
  let finished = false;
  const watching = Context.current().cancelled.catch(async () => {
    while (!finished) {
      await withSession({ url, applicationName: 'sluice:cancel' }, (other) =>
        other.query('select pg_cancel_backend($1)', [pid]),
      ).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  });
  try {
    return await work();
  } finally {
    finished = true;
    void watching;
  }
}
