import pg from 'pg';

/** SQLSTATEs of a transaction that lost against another one: serialization failure, deadlock, lock timeout. */
export const LOST_AGAINST_ANOTHER: ReadonlySet<string> = new Set(['40001', '40P01', '55P03']);

/** SQLSTATE of what the server answered; empty for an error of the connection or of this program. */
export function sqlstateOf(error: unknown): string {
  return error instanceof pg.DatabaseError ? (error.code ?? '') : '';
}
