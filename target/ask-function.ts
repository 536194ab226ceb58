import type pg from 'pg';

/**
 * Answers one call of a function of IU Core, such as `fn_iu_route_worker_next($1)`, which has one row with one value.
 * The session is in the schema of IU Core.
 */
export async function askFunction<T>(
  client: pg.Client,
  call: string,
  values: readonly unknown[],
): Promise<T> {
  const answered = await client.query<{ answer: T }>(`select ${call} as answer`, [...values]);
  const row = answered.rows[0];
  if (row === undefined) throw new Error(`${call} returned no row`);
  return row.answer;
}
