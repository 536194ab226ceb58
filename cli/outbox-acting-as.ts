import type pg from 'pg';
import type { TransactionMode } from '../target/in-transaction.ts';

interface Given {
  readonly client: pg.Client;
  transact<R>(mode: TransactionMode, statements: () => Promise<R>): Promise<R>;
}

/**
 * Makes a transaction that changes something and says in it who acts and why, as claimed: the target's own record of
 * changed gates, limits and routes takes them from there.
 */
export function actingAs(
  { client, transact }: Given,
  { actor, reason = '' }: { readonly actor: string; readonly reason?: string | undefined },
): <R>(statements: () => Promise<R>) => Promise<R> {
  return (statements) =>
    transact('read write', async () => {
      await client.query(
        `select set_config('sluice.actor', $1, true), set_config('sluice.reason', $2, true)`,
        [actor, reason],
      );
      return statements();
    });
}
