import type pg from 'pg';
import { SluiceError } from '../../contracts/error-codes.ts';
import { inUserSchema, notOfExtension } from './definition.ts';

/**
 * What this format leaves out, one line each.
 * @throws {SluiceError} `backup_tool_missing` when the database has something without which it would not work:
 * then only `pg_dump` can back it up
 */
export async function findUncovered(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ what: string; n: number; vital: boolean }>(UNCOVERED);
  const vital = rows.filter((row) => row.vital).map((row) => `${row.n} × ${row.what}`);
  if (vital.length > 0) {
    throw new SluiceError('backup_tool_missing', {
      what: `This database has what the built-in scoped snapshot does not cover: ${vital.join(', ')}.`,
      expected: "A pg_dump of the server's major or newer, which covers everything.",
      safe: 'Nothing was written; install the client package of that PostgreSQL.',
    });
  }
  return rows.map((row) => `not in a scoped snapshot: ${row.n} × ${row.what}`);
}

const own = (what: string, catalog: string, namespace: string, more = 'true') => `
  select '${what}' as what, count(*)::int as n, true as vital from ${catalog} o
  where ${inUserSchema(`o.${namespace}`)} and ${more} and ${notOfExtension(catalog, 'o.oid')}`;
const global = (what: string, catalog: string, vital: boolean, more = 'o.oid >= 16384') => `
  select '${what}', count(*)::int, ${vital} from ${catalog} o where ${more} and ${notOfExtension(catalog, 'o.oid')}`;

const UNCOVERED = `
  select what, n, vital
  from (
    ${[
      own('aggregate', 'pg_proc', 'pronamespace', `o.prokind = 'a'`),
      own(
        'range or base type',
        'pg_type',
        'typnamespace',
        `(o.typtype in ('r', 'p') or (o.typtype = 'b' and o.typcategory <> 'A'))`,
      ),
      own('operator', 'pg_operator', 'oprnamespace'),
      own('operator class', 'pg_opclass', 'opcnamespace'),
      own('collation', 'pg_collation', 'collnamespace'),
      own('conversion', 'pg_conversion', 'connamespace'),
      own('text search configuration', 'pg_ts_config', 'cfgnamespace'),
      own('text search dictionary', 'pg_ts_dict', 'dictnamespace'),
      own('foreign table', 'pg_class', 'relnamespace', `o.relkind = 'f'`),
      own('typed table', 'pg_class', 'relnamespace', 'o.reloftype <> 0'),
      own(
        'inherited table',
        'pg_class',
        'relnamespace',
        `o.relkind = 'r' and not o.relispartition and exists (select from pg_inherits i where i.inhrelid = o.oid)`,
      ),
      global('cast', 'pg_cast', true),
      global('foreign data wrapper', 'pg_foreign_data_wrapper', true),
      global('procedural language', 'pg_language', true),
      global('transform', 'pg_transform', true),
      global('large object', 'pg_largeobject_metadata', true, 'true'),
      global('publication', 'pg_publication', false),
      `select 'extension with configuration rows of its own', count(*)::int, false from pg_extension where extconfig is not null`,
      `select 'security label', count(*)::int, false from pg_seclabel`,
    ].join(' union all ')}
  ) counted
  where n > 0
  order by what`;
