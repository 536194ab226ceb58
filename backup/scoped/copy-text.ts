import { createHash } from 'node:crypto';
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import type { CopiedTable } from './definition.ts';

/** COPY of the columns that can be written again, in the order of the table's file. */
export function copyStatement(
  client: pg.Client,
  table: CopiedTable,
  way: 'to stdout' | 'from stdin',
): string {
  const name = `${client.escapeIdentifier(table.schema)}.${client.escapeIdentifier(table.name)}`;
  const columns = table.columns.length === 0 ? '' : ` (${table.columns.join(', ')})`;
  return `copy ${name}${columns} ${way}`;
}

/** Makes the text of every value independent of the server's settings, so that equal rows hash equally. */
export async function settleTextFormat(client: pg.Client): Promise<void> {
  await client.query(`
    set datestyle = 'ISO, YMD';
    set intervalstyle = postgres;
    set timezone = 'UTC';
    set extra_float_digits = 3;
    set bytea_output = hex;
    set client_encoding = 'UTF8';
    set xmloption = content;
    set synchronize_seqscans = off;
    set quote_all_identifiers = off;
    set search_path = pg_catalog`);
}

/** The sha256 of a table's rows as they are now, in COPY text format. */
export async function hashRows(client: pg.Client, table: CopiedTable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of client.query(copyTo(copyStatement(client, table, 'to stdout'))))
    hash.update(chunk);
  return hash.digest('hex');
}
