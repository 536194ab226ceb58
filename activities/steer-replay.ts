import type { ReplayProgress, SteerReplayInput } from '../contracts/replay.ts';
import { currentExecution } from './current-execution.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { inReplay } from './in-replay.ts';
import { cancelIdentity } from './temporal-identity.ts';

/**
 * Writes down in the target what a person asks of a running replay; the slice at work sees it with its next batch. Who
 * cancelled is whom Temporal has recorded.
 *
 * @throws SluiceError `replay_invalid`, `replay_ended`, `replay_not_found`
 */
export function steerReplay(dependencies: ActivityDependencies) {
  return async (input: SteerReplayInput): Promise<ReplayProgress> => {
    const { target, planHash, runId, what, value, actor, reason } = input;
    const identity = what === 'cancel' ? await cancelIdentity(dependencies, currentExecution()) : null;
    return inReplay(dependencies, target, 'steer-replay', (ask) =>
      ask<ReplayProgress>('fn_iu_replay_steer($1, $2, $3, $4, $5, $6)', [
        planHash,
        runId,
        what,
        value === undefined ? null : JSON.stringify(value),
        identity ?? actor,
        reason,
      ]),
    );
  };
}
