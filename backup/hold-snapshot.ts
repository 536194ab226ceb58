import type pg from 'pg';
import type { BackupLocale, BackupRole } from './backup-receipt.ts';
import { listUserTables } from './count-tables.ts';

/** What the database says of itself inside the snapshot that is dumped. */
export interface SnapshotFacts {
  /** For `pg_dump --snapshot`; valid as long as the transaction is open. */
  readonly snapshotId: string;
  readonly snapshotXmin: string;
  readonly takenAt: string;
  readonly database: string;
  readonly systemIdentifier: string | null;
  readonly serverVersion: string;
  readonly serverMajor: number;
  readonly databaseBytes: number;
  /** Tables with their TOAST, without indexes: what a dump carries. */
  readonly tableBytes: number;
  readonly locale: BackupLocale;
  readonly roles: BackupRole[];
}

/** How long a table may make the snapshot wait for its lock, in milliseconds. */
export const LOCK_WAIT_MS = 60_000;

/**
 * Opens the one transaction that a backup rests on (REPEATABLE READ, READ ONLY), locks every user table in
 * ACCESS SHARE mode so that none is truncated or dropped meanwhile, and exports its snapshot. The caller
 * ends it by closing the client.
 */
export async function holdSnapshot(client: pg.Client): Promise<SnapshotFacts> {
  const systemIdentifier = await readSystemIdentifier(client);
  await client.query('begin transaction isolation level repeatable read, read only');
  await client.query(`
    set local statement_timeout = 0;
    set local idle_in_transaction_session_timeout = 0;
    set local lock_timeout = ${LOCK_WAIT_MS};
    set local search_path = pg_catalog;
    set local row_security = off`);
  const tables = await listUserTables(client);
  if (tables.length > 0) {
    const names = tables.map(
      (t) => `only ${client.escapeIdentifier(t.schema)}.${client.escapeIdentifier(t.name)}`,
    );
    await client.query(`lock table ${names.join(', ')} in access share mode`);
  }
  const { rows } = await client.query<FactsRow>(FACTS);
  const row = rows[0];
  if (row === undefined) throw new Error('The database said nothing of itself.');
  const roles = await client.query<BackupRole>(ROLES);
  return {
    snapshotId: row.snapshot_id,
    snapshotXmin: row.snapshot_xmin,
    takenAt: row.taken_at,
    database: row.database,
    systemIdentifier,
    serverVersion: row.server_version,
    serverMajor: Math.floor(Number(row.server_version_num) / 10_000),
    databaseBytes: Number(row.database_bytes),
    tableBytes: Number(row.table_bytes),
    locale: {
      encoding: row.encoding,
      collate: row.d.datcollate,
      ctype: row.d.datctype,
      provider: row.d.datlocprovider,
      name: row.d.datlocale ?? row.d.daticulocale ?? null,
    },
    roles: roles.rows,
  };
}

interface FactsRow {
  readonly snapshot_id: string;
  readonly snapshot_xmin: string;
  readonly taken_at: string;
  readonly database: string;
  readonly server_version: string;
  readonly server_version_num: string;
  readonly database_bytes: string;
  readonly table_bytes: string;
  readonly encoding: string;
  /** The row of `pg_database`; the ICU locale's column has another name from PostgreSQL 17 on. */
  readonly d: {
    readonly datcollate: string;
    readonly datctype: string;
    readonly datlocprovider: string;
    readonly datlocale?: string | null;
    readonly daticulocale?: string | null;
  };
}

const FACTS = `
  select
    pg_export_snapshot() as snapshot_id,
    pg_snapshot_xmin(pg_current_snapshot())::text as snapshot_xmin,
    to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as taken_at,
    current_database() as database,
    current_setting('server_version') as server_version,
    current_setting('server_version_num') as server_version_num,
    pg_database_size(current_database()) as database_bytes,
    coalesce((
      select sum(pg_table_size(c.oid))
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema')
    ), 0) as table_bytes,
    pg_encoding_to_char(d.encoding) as encoding,
    to_jsonb(d) - 'datacl' as d
  from pg_database d
  where d.datname = current_database()`;

/** Every role that something in this database depends on, and the bootstrap superuser, which is never listed. */
const ROLES = `
  select r.rolname as name, r.rolsuper as superuser
  from pg_roles r
  where r.rolname !~ '^pg_'
    and (
      r.oid = 10
      or exists (
        select from pg_shdepend d
        where d.refclassid = 'pg_authid'::regclass
          and d.refobjid = r.oid
          and d.dbid = (select oid from pg_database where datname = current_database())
      )
    )
  order by 1`;

async function readSystemIdentifier(client: pg.Client): Promise<string | null> {
  try {
    const { rows } = await client.query<{ id: string }>(
      'select system_identifier::text as id from pg_control_system()',
    );
    return rows[0]?.id ?? null;
  } catch {
    return null;
  }
}
