import { activityInfo } from '@temporalio/activity';
import type pg from 'pg';
import { withReusedSession } from '../target/reuse-session.ts';
import type { ActivityDependencies, TargetAccess } from './dependencies.ts';
import { withHeartbeat } from './heartbeat.ts';
import { toActivityFailure } from './report-failure.ts';

/** Runs work that belongs to a run as a whole in a session of the target; errors leave as typed failures. */
export async function withTarget<T>(
  dependencies: ActivityDependencies,
  name: string,
  purpose: string,
  work: (given: { client: pg.Client; target: TargetAccess }) => Promise<T>,
  direction: 'do' | 'undo' = 'do',
): Promise<T> {
  try {
    const target = await dependencies.openTarget(name);
    return await withHeartbeat(() =>
      withReusedSession({ url: target.url, applicationName: `sluice:${purpose}` }, async (client) => {
        await client.query(`set lock_timeout = ${target.lockTimeoutMs}`);
        return work({ client, target });
      }),
    );
  } catch (error) {
    throw toActivityFailure(error, `Target ${name} (${purpose})`, activityInfo().attempt, direction);
  }
}
