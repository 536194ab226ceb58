import { askFunction } from '../target/ask-function.ts';
import { inTransaction } from '../target/in-transaction.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { stepLimits } from './step-limits.ts';
import { withTarget } from './with-target.ts';

interface RetentionTransaction {
  readonly mode: 'read only' | 'read write';
  /** Milliseconds; the target's own when absent. */
  readonly lockTimeoutMs?: number;
}

/** Answers one call of a function of IU Core. */
export type AskFunction = <T>(call: string, values: readonly unknown[]) => Promise<T>;

/**
 * Runs one transaction of the retention in the schema of IU Core. A lock that is not granted in time fails the
 * attempt; Temporal repeats it as `toActivityFailure` allows, five times in all.
 */
export function inRetention<T>(
  dependencies: ActivityDependencies,
  name: string,
  { mode, lockTimeoutMs }: RetentionTransaction,
  work: (ask: AskFunction) => Promise<T>,
): Promise<T> {
  return withTarget(dependencies, name, 'retention', async ({ client, target }) => {
    const limits = stepLimits({ target }, mode === 'read only' ? 'check' : 'change');
    const settings = { ...limits, lockTimeoutMs: lockTimeoutMs ?? limits.lockTimeoutMs };
    const ask: AskFunction = (call, values) => askFunction(client, call, values);
    return inTransaction(client, mode, settings, () => work(ask));
  });
}
