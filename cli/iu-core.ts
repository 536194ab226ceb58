import type pg from 'pg';
import type { TargetAccess } from '../activities/dependencies.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { inTransaction, type TransactionMode } from '../target/in-transaction.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import type { Context } from './context.ts';

/** SQLSTATEs of a table, a function or a schema that is not there. */
const MISSING = new Set(['42P01', '42883', '3F000']);

/**
 * Runs work in one transaction in the schema of IU Core, each call to `transact` one of its own.
 *
 * @throws SluiceError `iu_core_missing` where a table or function is not installed
 */
export function withIuCore<T>(
  context: Context,
  doing: string,
  work: (given: {
    readonly target: TargetAccess;
    readonly client: pg.Client;
    transact<R>(mode: TransactionMode, statements: () => Promise<R>): Promise<R>;
  }) => Promise<T>,
): Promise<T> {
  return context.session(doing, async (client, target) => {
    const limits = {
      schema: target.schema,
      lockTimeoutMs: target.lockTimeoutMs,
      statementTimeoutMs: target.statementTimeoutMs.change,
    };
    try {
      return await work({
        target,
        client,
        transact: (mode, statements) => inTransaction(client, mode, limits, statements),
      });
    } catch (error) {
      if (isMissing(error)) throw missing(target, error);
      throw asRefusal(error, doing);
    }
  });
}

/** A statement that the database refused left nothing; that is no run that was rolled back. */
function asRefusal(error: unknown, doing: string): SluiceError {
  const mapped = mapDatabaseError(error, doing);
  if (mapped.code !== 'script_failed') return mapped;
  const { what, expected } = mapped.text;
  return new SluiceError(
    'update_refused',
    { what, expected, safe: 'The transaction was rolled back.' },
    { cause: error },
  );
}

function isMissing(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && MISSING.has(String(cause.code))) return true;
  }
  return false;
}

function missing({ name, schema }: TargetAccess, cause: unknown): SluiceError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new SluiceError(
    'iu_core_missing',
    {
      what: `IU Core is not, or not wholly, installed in schema ${schema} of target ${name}: ${message}.`,
      expected: 'The macros iu-core-base and event-worker install it.',
      safe: 'Nothing was changed.',
    },
    { cause },
  );
}
