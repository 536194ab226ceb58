/**
 * When a definition is restored:
 * - `before_rows`: schemas, types, functions, tables, views, defaults, partitions;
 * - `after_rows`: sequence positions, constraints, indexes, triggers, rules, policies, and the rest;
 * - `owner`, `grant`: left out on a server that does not have the roles;
 * - `last`: event triggers, which would fire for everything above.
 */
export const SECTIONS = ['before_rows', 'after_rows', 'owner', 'grant', 'last'] as const;
export type Section = (typeof SECTIONS)[number];

/** One statement of the snapshot, with what it makes. */
export interface Definition {
  readonly section: Section;
  /** For instance `table`, `check constraint`, `comment`. */
  readonly kind: string;
  /** Qualified name. */
  readonly identity: string;
  readonly sql: string;
}

/** A table whose rows the snapshot carries. `columns`: all but the generated ones, quoted. */
export interface CopiedTable {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly string[];
}

/** SQL: not a member of an extension, whose script makes it again. */
export function notOfExtension(catalog: string, oid: string): string {
  return `not exists (select from pg_depend ext where ext.classid = '${catalog}'::regclass and ext.objid = ${oid} and ext.deptype = 'e')`;
}

/** SQL: the column holds the oid of a schema that is the user's. */
export function inUserSchema(column: string): string {
  return `${column} in (select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema')`;
}
