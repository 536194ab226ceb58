import { setTimeout as delay } from 'node:timers/promises';
import { SluiceError } from '../contracts/error-codes.ts';
import { mapDatabaseError } from './map-database-error.ts';
import { LOST_AGAINST_ANOTHER, sqlstateOf } from './sqlstate-of.ts';

/** How often a transaction is tried that lost against another one. */
export const TRANSACTION_TRIES = 5;
/** The first pause between two tries, in milliseconds; it doubles, and half of it is left to chance. */
const FIRST_PAUSE_MS = 50;

export interface Repetition {
  /** For errors: what is being done. */
  readonly doing: string;
  /** Also repeats what a statement timeout of so many milliseconds ended. */
  readonly statementTimeoutMs?: number;
}

/**
 * Runs a transaction again that a deadlock, a serialization failure or a lock timeout rolled back:
 * {@link TRANSACTION_TRIES} times in all, with pauses of less than a second together. Nothing of a lost try is left.
 *
 * @throws SluiceError `transient`, `lock_timeout` or, for a statement timeout, `script_failed` after the last try; any
 * other error as it is
 */
export async function repeatLostTransaction<T>(
  { doing, statementTimeoutMs }: Repetition,
  transaction: () => Promise<T>,
): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    const startedAt = performance.now();
    try {
      return await transaction();
    } catch (error) {
      const tookMs = performance.now() - startedAt;
      const isTimeout =
        statementTimeoutMs !== undefined && isStatementTimeout(error, tookMs, statementTimeoutMs);
      if (!isTimeout && !LOST_AGAINST_ANOTHER.has(sqlstateOf(error))) throw error;
      if (tried >= TRANSACTION_TRIES) throw givenUp(error, doing);
    }
    await delay(FIRST_PAUSE_MS * 2 ** (tried - 1) * (0.5 + Math.random() / 2));
  }
}

/**
 * Whether a statement was ended by its own timeout and not by a person's `pg_cancel_backend`: both have the same
 * SQLSTATE, the words are in the server's language, and only a timeout takes at least so long.
 */
export function isStatementTimeout(error: unknown, tookMs: number, timeoutMs: number): boolean {
  if (sqlstateOf(error) !== '57014' || timeoutMs === 0) return false;
  const message = error instanceof Error ? error.message : '';
  return tookMs >= timeoutMs && !message.includes('user request');
}

function givenUp(error: unknown, doing: string): SluiceError {
  const { code, text } = mapDatabaseError(error, doing);
  return new SluiceError(
    code,
    {
      what: text.what,
      expected: `A transaction that comes through within ${TRANSACTION_TRIES} tries.`,
      safe: 'Every try was rolled back: nothing is lost, and the next one begins where this one did.',
    },
    { cause: error },
  );
}
