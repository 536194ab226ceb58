import type { PlanGroup, ReplayControl, ReplayPlan } from '../contracts/replay.ts';
import { askFunction } from '../target/ask-function.ts';
import type { Planning } from './plan-replay.ts';

/** Whether every letter of a group that was tried out still fails. */
export function stillFails({ fixed, stillFailing, unknown }: PlanGroup): boolean {
  return stillFailing > 0 && fixed === 0 && unknown === 0;
}

/**
 * Leaves the kinds of failure out of a plan that wholly still fail when they are tried out: their letters stay open. Nothing
 * is left out where nothing else would remain.
 *
 * @returns the groups that still fail
 */
export async function leaveOutFailing(
  { client, transact }: Pick<Planning, 'client' | 'transact'>,
  { planHash, groups }: ReplayPlan,
  { actor, reason }: ReplayControl,
): Promise<readonly PlanGroup[]> {
  const failing = groups.filter(stillFails);
  if (failing.length === 0 || failing.length === groups.length) return failing;
  await transact('read write', async () => {
    for (const { fingerprint } of failing)
      await askFunction(client, 'fn_iu_replay_leave_out($1, $2, $3, $4)', [
        planHash,
        JSON.stringify({ fingerprint }),
        actor,
        `${reason}: it still fails when it is tried out`,
      ]);
  });
  return failing;
}
