import type pg from 'pg';
import { SluiceError } from '../../contracts/error-codes.ts';
import type { TableName } from './table-name.ts';

/** Columns of the table, and the types that they may have. */
const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  subject_key: ['text'],
  embedding: ['vector'],
  content: ['text'],
  metadata: ['jsonb'],
  source_event: ['uuid'],
  subject_seq: ['bigint', 'numeric'],
  event_at: ['timestamp with time zone'],
  idempotency_key: ['text'],
};
/** What the driver may need to write a row. */
const RIGHTS = ['SELECT', 'INSERT', 'UPDATE'];

/** What makes the table that vectors are written to. */
export function vectorTableDdl(table: TableName, dimensions: number): string {
  return `create table ${table.sql} (
  subject_key     text primary key,
  embedding       vector(${dimensions}) not null,
  content         text not null,
  metadata        jsonb not null,
  source_event    uuid not null,
  subject_seq     bigint,
  event_at        timestamptz not null,
  idempotency_key text not null
);`;
}

/**
 * Looks whether vectors can be written to a table: the extension, the table, its columns, its key, the rights.
 *
 * @throws SluiceError `route_refused`, which says what is missing and how it is made
 */
export async function checkVectorTable(
  client: pg.ClientBase,
  table: TableName,
  dimensions: number,
): Promise<void> {
  await demandExtension(client);
  const { rows: tables } = await client.query<{ oid: string; rights: string[] }>(
    `select c.oid::text as oid,
            array(select r from unnest($3::text[]) as r where not has_table_privilege(c.oid, r)) as rights
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')`,
    [table.schema, table.table, RIGHTS],
  );
  const [found] = tables;
  if (found === undefined) {
    throw refusal(`There is no table ${table.sql}.`, `Make it:\n${vectorTableDdl(table, dimensions)}`);
  }
  await demandColumns(client, table, found.oid, dimensions);
  await demandKey(client, table, found.oid);
  if (found.rights.length > 0) {
    const rights = found.rights.join(', ').toLowerCase();
    throw refusal(
      `The user of the vector database may not ${rights} ${table.sql}.`,
      `\`grant ${RIGHTS.join(', ').toLowerCase()} on ${table.sql} to …;\``,
    );
  }
}

async function demandExtension(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ database: string; installed: boolean; available: boolean }>(
    `select current_database() as database,
            exists (select from pg_catalog.pg_extension where extname = 'vector') as installed,
            exists (select from pg_catalog.pg_available_extensions where name = 'vector') as available`,
  );
  const [found] = rows;
  if (found?.installed === true) return;
  throw refusal(
    `Extension vector is missing in database ${found?.database ?? ''}.`,
    found?.available === true
      ? 'A superuser runs `create extension vector;` there.'
      : 'Install pgvector on the server, which does not have it; then a superuser runs `create extension vector;` there.',
  );
}

async function demandColumns(
  client: pg.ClientBase,
  table: TableName,
  oid: string,
  dimensions: number,
): Promise<void> {
  const { rows } = await client.query<{ name: string; type: string; modifier: number }>(
    `select a.attname as name, pg_catalog.format_type(a.atttypid, null) as type, a.atttypmod as modifier
       from pg_catalog.pg_attribute a
      where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped`,
    [oid],
  );
  const columns = new Map(rows.map((row) => [row.name, row]));
  const wrong = Object.entries(COLUMNS).flatMap(([name, types]) => {
    const column = columns.get(name);
    if (column === undefined) return [`${name} ${types[0]} is missing`];
    // An extension in a schema that is not searched has its name before that of the type.
    const type = column.type.replace(/^.*\./, '');
    return types.includes(type) ? [] : [`${name} is ${column.type}, not ${types.join(' or ')}`];
  });
  if (wrong.length > 0) {
    throw refusal(
      `Table ${table.sql} lacks what is written: ${wrong.join('; ')}.`,
      `The columns of:\n${vectorTableDdl(table, dimensions)}`,
    );
  }
  const modifier = columns.get('embedding')?.modifier ?? -1;
  if (modifier === -1 || modifier === dimensions) return;
  throw refusal(
    `Column embedding of ${table.sql} has ${modifier} dimensions, and the configuration says ${dimensions}.`,
    `The same number in both: \`delivery.vector.embedding.dimensions\`, or a table with vector(${dimensions}).`,
  );
}

async function demandKey(client: pg.ClientBase, table: TableName, oid: string): Promise<void> {
  const { rowCount } = await client.query(
    `select from pg_catalog.pg_index i
       join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      where i.indrelid = $1::oid and i.indisunique and i.indisvalid and i.indimmediate
        and i.indpred is null and i.indnkeyatts = 1 and a.attname = 'subject_key'`,
    [oid],
  );
  if (rowCount !== 0) return;
  throw refusal(
    `Nothing keeps subject_key of ${table.sql} unique.`,
    `\`alter table ${table.sql} add primary key (subject_key);\``,
  );
}

export function refusal(what: string, expected: string): SluiceError {
  return new SluiceError('route_refused', { what, expected, safe: 'No vector was written.' });
}
