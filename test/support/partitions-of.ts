import type pg from 'pg';

/** The table itself, first, and each of its partitions, those of partitions too. */
export async function withPartitionsOf(client: pg.Client, table: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `with recursive part as (
       select $1::regclass as oid, 0 as depth
       union all
       select pg_inherits.inhrelid::regclass, part.depth + 1
       from pg_inherits
       join part on part.oid = pg_inherits.inhparent
     )
     select oid::text as name from part order by depth, oid::text`,
    [table],
  );
  return rows.map((row) => row.name);
}
