import { askFunction } from '../target/ask-function.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import type { ActivityDependencies } from './dependencies.ts';
import type { AskFunction } from './in-retention.ts';
import { stepLimits } from './step-limits.ts';
import { withTarget } from './with-target.ts';

/**
 * Runs work of a replay in the schema of IU Core, each call of a function a transaction of its own that is repeated where
 * it lost against another one.
 */
export function inReplay<T>(
  dependencies: ActivityDependencies,
  name: string,
  purpose: 'open-replay' | 'steer-replay' | 'close-replay',
  work: (ask: AskFunction) => Promise<T>,
): Promise<T> {
  return withTarget(dependencies, name, purpose, async ({ client, target }) => {
    const limits = stepLimits({ target }, 'change');
    return work((call, values) =>
      repeatLostTransaction({ doing: `Target ${name} (${purpose})` }, () =>
        inTransaction(client, 'read write', limits, () => askFunction(client, call, values)),
      ),
    );
  });
}
