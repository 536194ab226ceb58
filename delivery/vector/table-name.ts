import pg from 'pg';

/** A table as `target_ref` names it. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
  /** Quoted, for a statement. */
  readonly sql: string;
}

const TABLE = /^([A-Za-z_][A-Za-z0-9_$]{0,62})\.([A-Za-z_][A-Za-z0-9_$]{0,62})$/;

/** Reads `schema.table`, letters large and small as they stand; null where it is malformed. */
export function readTableName(targetRef: string): TableName | null {
  const [, schema, table] = TABLE.exec(targetRef) ?? [];
  if (schema === undefined || table === undefined) return null;
  return { schema, table, sql: `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}` };
}
