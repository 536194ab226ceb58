import { ApplicationFailure } from '@temporalio/activity';
import { ERROR_CODES, type ErrorCodeName, SluiceError } from '../contracts/error-codes.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';

/** Attempts after which a retryable code is final; codes that are not listed follow the activity's own limits. */
const MAX_ATTEMPTS: Partial<Record<ErrorCodeName, number>> = { lock_timeout: 5, transient: 10 };
/** An undo is tried longer: nothing takes the run back but itself. */
const MAX_UNDO_ATTEMPTS: Partial<Record<ErrorCodeName, number>> = { lock_timeout: 20, transient: 20 };

/**
 * The Temporal failure for an error: its type is the error code, its details tell the attempt, and whether it
 * may be retried follows from the code and the attempts so far.
 */
export function toActivityFailure(
  error: unknown,
  where: string,
  attempt: number,
  direction: 'do' | 'undo' = 'do',
): ApplicationFailure {
  const sluiceError = error instanceof SluiceError ? error : mapDatabaseError(error, where);
  const { retry } = ERROR_CODES[sluiceError.code];
  const limits = direction === 'undo' ? MAX_UNDO_ATTEMPTS : MAX_ATTEMPTS;
  const exhausted = attempt >= (limits[sluiceError.code] ?? Number.POSITIVE_INFINITY);
  return ApplicationFailure.create({
    type: sluiceError.code,
    message: sluiceError.message,
    nonRetryable: !retry || exhausted,
    details: [{ attempt }],
  });
}
