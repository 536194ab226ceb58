import type pg from 'pg';
import type { TableRows } from './backup-receipt.ts';

/**
 * User tables whose rows a dump carries: ordinary tables, partitions included, of every schema (the engine's
 * own too). Not: partitioned parents (they hold no rows), views, foreign and temporary tables, and tables
 * that belong to an extension (its script creates them again).
 */
export async function listUserTables(client: pg.Client): Promise<{ schema: string; name: string }[]> {
  const { rows } = await client.query<{ schema: string; name: string }>(`
    select n.nspname as schema, c.relname as name
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r'
      and c.relpersistence <> 't'
      and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
      and n.nspname !~ '^pg_(toast_)?temp_'
      and not exists (
        select from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
      )
    order by 1, 2`);
  return rows;
}

/** Counts each table in the client's own snapshot; row level security may not hide a row. */
export async function countTables(
  client: pg.Client,
  onTable?: (done: number, total: number, table: TableRows) => void,
): Promise<TableRows[]> {
  const tables = await listUserTables(client);
  const counted: TableRows[] = [];
  for (const { schema, name } of tables) {
    const qualified = `${client.escapeIdentifier(schema)}.${client.escapeIdentifier(name)}`;
    const { rows } = await client.query<{ rows: string }>(`select count(*) as rows from only ${qualified}`);
    const table = { schema, name, rows: Number(rows[0]?.rows) };
    counted.push(table);
    onTable?.(counted.length, tables.length, table);
  }
  return counted;
}
