import type { CloseRunInput } from '../contracts/macro-activities.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishRun } from './finish-run.ts';
import { withTarget } from './with-target.ts';

/** The activity that ends a run in the target. */
export function closeRun(dependencies: ActivityDependencies) {
  return (input: CloseRunInput): Promise<void> =>
    withTarget(dependencies, input.target, 'close-run', ({ client }) => finishRun(client, input));
}
