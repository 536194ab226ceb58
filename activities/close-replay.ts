import type { CloseReplayInput, ReplayProgress } from '../contracts/replay.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { inReplay } from './in-replay.ts';

/** Ends the run of a plan in its target; repeating it changes nothing. */
export function closeReplay(dependencies: ActivityDependencies) {
  return ({ target, planHash, runId, outcome, because }: CloseReplayInput): Promise<ReplayProgress> =>
    inReplay(dependencies, target, 'close-replay', (ask) =>
      ask<ReplayProgress>('fn_iu_replay_close($1, $2, $3, $4)', [planHash, runId, outcome, because]),
    );
}
