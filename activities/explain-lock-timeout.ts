import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import type { StepWork } from './perform-step.ts';

/** Milliseconds between looks at who blocks the session, at most. */
const LOOK_EVERY_MS = 500;

/** Who blocked the session, as of the last look that saw anybody. */
interface Sighting {
  readonly blockers: string;
  readonly seenAtMs: number;
}

/**
 * Runs `work`; where it fails because a lock was not granted within `lock_timeout`, the error names who held
 * it. The blocker is looked up from a second session while the first still waits, since afterwards nobody
 * blocks any more.
 */
export async function explainLockTimeout<T>(given: StepWork, work: () => Promise<T>): Promise<T> {
  const { lockTimeoutMs } = given.target;
  const ended = new AbortController();
  let last: Sighting | undefined;
  const looking = watch(given, ended.signal, (sighting) => {
    last = sighting;
  });
  try {
    return await work();
  } catch (error) {
    const known = mapDatabaseError(error, `Step ${given.ref.stepId}`);
    if (known.code !== 'lock_timeout') throw error;
    const isRecent = last !== undefined && Date.now() - last.seenAtMs <= lockTimeoutMs + 2 * LOOK_EVERY_MS;
    throw new SluiceError('lock_timeout', {
      what: known.text.what,
      expected: `The lock within lock_timeout = ${lockTimeoutMs} ms; held by ${isRecent ? last?.blockers : 'a session that has gone since'}.`,
      safe: 'The transaction was rolled back; nothing waits behind it.',
    });
  } finally {
    ended.abort();
    await looking;
  }
}

/** Looks again and again from one session of its own, opened only where the work takes longer than a look. */
async function watch(
  { client, target }: StepWork,
  ended: AbortSignal,
  see: (sighting: Sighting) => void,
): Promise<void> {
  const pid = (client as pg.Client & { processID?: number | null }).processID ?? 0;
  const interval = Math.max(20, Math.min(LOOK_EVERY_MS, target.lockTimeoutMs / 3));
  const pause = () => delay(interval, undefined, { signal: ended });
  // It only explains: where it cannot look, the work goes on without it.
  await pause()
    .then(() =>
      withSession({ url: target.url, applicationName: 'sluice:lock-observer' }, async (observer) => {
        while (!ended.aborted) {
          const blockers = await describeBlockers(observer, pid);
          if (blockers !== '') see({ blockers, seenAtMs: Date.now() });
          await pause();
        }
      }),
    )
    .catch(() => undefined);
}

async function describeBlockers(observer: pg.Client, pid: number): Promise<string> {
  const found = await observer.query<{ line: string }>(
    `select format('pid %s (user %s, application %s, transaction open for %s)', a.pid, a.usename,
       coalesce(nullif(a.application_name, ''), 'unnamed'), date_trunc('second', clock_timestamp() - a.xact_start)) as line
     from unnest(pg_blocking_pids($1)) as b (pid)
     join pg_stat_activity as a on a.pid = b.pid`,
    [pid],
  );
  return found.rows.map((row) => row.line).join(', ');
}
