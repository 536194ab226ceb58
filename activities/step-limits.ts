import type { TransactionSettings } from '../target/in-transaction.ts';
import type { TargetAccess } from './dependencies.ts';

/** Schema and time limits of a step's transactions, by the class of its statements. */
export function stepLimits(
  { target }: { readonly target: TargetAccess },
  statements: keyof TargetAccess['statementTimeoutMs'],
): TransactionSettings {
  return {
    schema: target.schema,
    lockTimeoutMs: target.lockTimeoutMs,
    statementTimeoutMs: target.statementTimeoutMs[statements],
  };
}
