import { LOST_AGAINST_ANOTHER, sqlstateOf } from '../../target/sqlstate-of.ts';

const STATEMENT_TIMEOUT = '57014';

/** Whether a transaction was rolled back for a reason that is gone another time. */
export function isTransient(error: unknown): boolean {
  const sqlstate = sqlstateOf(error);
  return LOST_AGAINST_ANOTHER.has(sqlstate) || sqlstate === STATEMENT_TIMEOUT;
}

/** Whether the database refused what a statement held, and would refuse it again. */
export function isRefusedData(error: unknown): boolean {
  return /^2[23]/.test(sqlstateOf(error));
}
