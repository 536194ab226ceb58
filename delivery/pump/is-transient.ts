import pg from 'pg';

/** Serialization failure, deadlock, lock timeout, statement timeout. */
const TRANSIENT = new Set(['40001', '40P01', '55P03', '57014']);

/** Whether a transaction was rolled back for a reason that is gone another time. */
export function isTransient(error: unknown): boolean {
  return error instanceof pg.DatabaseError && TRANSIENT.has(error.code ?? '');
}

/** Whether the database refused what a statement held, and would refuse it again. */
export function isRefusedData(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '');
}
