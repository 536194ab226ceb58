import type pg from 'pg';
import { type CopiedTable, type Definition, inUserSchema, notOfExtension } from './definition.ts';
import { describeObjects } from './describe-objects.ts';
import { describePrivileges } from './describe-privileges.ts';
import { describeTableParts } from './describe-table-parts.ts';
import { orderObjects } from './order-objects.ts';

/**
 * Reads the definitions of everything in the database, in the order in which they can be made again. The
 * client's search path must be `pg_catalog` alone, so that every name comes out qualified.
 */
export async function describeSchema(client: pg.Client): Promise<Definition[]> {
  const { early, late } = await orderObjects(client, await describeObjects(client));
  const parts = await describeTableParts(client);
  const privileges = await describePrivileges(client);
  const noPublic: Definition = {
    section: 'before_rows',
    kind: 'absence',
    identity: 'public',
    sql: 'drop schema if exists public',
  };
  const hasPublic = early.some(({ kind, identity }) => kind === 'schema' && identity === 'public');
  return [
    ...(hasPublic ? [] : [noPublic]),
    ...early.map(({ kind, identity, sql }): Definition => ({ section: 'before_rows', kind, identity, sql })),
    ...parts.attachments,
    ...parts.sequencePositions,
    ...parts.keysAndChecks,
    ...parts.foreignKeys,
    ...late.map(({ kind, identity, sql }): Definition => ({ section: 'after_rows', kind, identity, sql })),
    ...parts.rest,
    ...privileges,
  ];
}

/** The tables whose rows are copied, with the columns that can be written again. */
export async function listCopiedTables(client: pg.Client): Promise<CopiedTable[]> {
  const { rows } = await client.query<CopiedTable>(`
    select n.nspname as schema, c.relname as name,
      array(select quote_ident(a.attname) from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        order by a.attnum) as columns
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence <> 't'
      and ${inUserSchema('c.relnamespace')} and ${notOfExtension('pg_class', 'c.oid')}
    order by 1, 2`);
  return rows;
}
