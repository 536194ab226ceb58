import type pg from 'pg';

/** As the retention workflow would have left it: a partition for each of the last days, and those of the coming days. */
export async function makePartitions(client: pg.Client, days: number): Promise<number> {
  // They belong to whom they belong where the workflow makes them.
  await client.query('set role iu_core_owner');
  await client.query(
    `select fn_iu_retention_attach(boundary.upper_at, boundary.upper_at - interval '1 day')
     from generate_series($1::integer, 0, -1) as ago
     cross join lateral (
       select fn_iu_retention_boundary(clock_timestamp()) - make_interval(days => ago) as upper_at
     ) as boundary`,
    [days],
  );
  await client.query('select fn_iu_retention_prepare()');
  await client.query('reset role');
  const { rows } = await client.query<{ count: string }>('select count(*) as count from iu_outbox_partition');
  return Number(rows[0]?.count);
}
