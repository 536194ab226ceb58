import { SluiceError } from '../contracts/error-codes.ts';
import { openSession } from '../target/open-session.ts';
import type { StepWork } from './perform-step.ts';

/** Milliseconds between looks at who blocks the session. */
const LOOK_EVERY_MS = 500;

/**
 * Runs `work`; where it fails because a lock was not granted within `lock_timeout`, the error names who held
 * it. The blocker is looked up from a second session while the first still waits, since afterwards nobody
 * blocks any more.
 */
export async function explainLockTimeout<T>(given: StepWork, work: () => Promise<T>): Promise<T> {
  const pid = (given.client as typeof given.client & { processID?: number | null }).processID ?? 0;
  let blockers = '';
  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(async () => {
      blockers = (await describeBlockers(given.target.url, pid).catch(() => '')) || blockers;
    });
  }, LOOK_EVERY_MS);
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'lock_timeout') throw error;
    await looking;
    throw new SluiceError('lock_timeout', {
      what: error.text.what,
      expected: `The lock within lock_timeout = ${given.target.lockTimeoutMs} ms; held by ${blockers || 'a session that has gone since'}.`,
      safe: 'The transaction was rolled back; nothing waits behind it.',
    });
  } finally {
    clearInterval(timer);
  }
}

async function describeBlockers(url: string, pid: number): Promise<string> {
  const observer = await openSession({ url, applicationName: 'sluice:lock-observer' });
  try {
    const found = await observer.query<{ line: string }>(
      `select format('pid %s (user %s, application %s, transaction open for %s)', a.pid, a.usename,
         coalesce(nullif(a.application_name, ''), 'unnamed'), date_trunc('second', clock_timestamp() - a.xact_start)) as line
       from unnest(pg_blocking_pids($1)) as b (pid)
       join pg_stat_activity as a on a.pid = b.pid`,
      [pid],
    );
    return found.rows.map((row) => row.line).join(', ');
  } finally {
    await observer.end().catch(() => undefined);
  }
}
