import type pg from 'pg';

/**
 * Runs a query that may fail without ending the transaction around it (missing function, no permission).
 *
 * @returns the rows, or the server's message
 */
export async function tryQuery<R extends pg.QueryResultRow>(
  client: pg.Client,
  sql: string,
  values: readonly unknown[] = [],
): Promise<{ readonly rows: readonly R[] } | { readonly failed: string }> {
  await client.query('savepoint optional_evidence');
  try {
    const found = await client.query<R>(sql, [...values]);
    await client.query('release savepoint optional_evidence');
    return { rows: found.rows };
  } catch (error) {
    await client.query('rollback to savepoint optional_evidence');
    return { failed: error instanceof Error ? error.message : String(error) };
  }
}
