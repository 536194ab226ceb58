import type pg from 'pg';
import { inUserSchema, notOfExtension } from './definition.ts';

/** An object that others may depend on, named as `pg_depend` names it. */
export interface DescribedObject {
  readonly catalog: string;
  readonly oid: string;
  readonly kind: string;
  readonly identity: string;
  readonly sql: string;
}

/** Everything that is made before the rows are loaded, kinds in an order that fits where nothing else says so. */
export async function describeObjects(client: pg.Client): Promise<DescribedObject[]> {
  const described: DescribedObject[] = [];
  for (const query of [
    SCHEMAS,
    EXTENSIONS,
    ENUMS,
    COMPOSITES,
    DOMAINS,
    SEQUENCES,
    TABLES,
    ROUTINES,
    VIEWS,
    DEFAULTS,
  ]) {
    described.push(...(await client.query<DescribedObject>(query)).rows);
  }
  return described;
}

const SCHEMAS = `
  select 'pg_namespace' as catalog, oid::text, 'schema' as kind, quote_ident(nspname) as identity,
    format('create schema if not exists %I', nspname) as sql
  from pg_namespace
  where ${inUserSchema('oid')} and ${notOfExtension('pg_namespace', 'pg_namespace.oid')}
  order by nspname`;

const EXTENSIONS = `
  select 'pg_extension' as catalog, e.oid::text, 'extension' as kind, quote_ident(e.extname) as identity,
    format('create extension if not exists %I with schema %I', e.extname, n.nspname) as sql
  from pg_extension e
  join pg_namespace n on n.oid = e.extnamespace
  order by e.oid`;

const ENUMS = `
  select 'pg_type' as catalog, t.oid::text, 'enum' as kind, format_type(t.oid, null) as identity,
    format('create type %s as enum (%s)', format_type(t.oid, null),
      (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid)) as sql
  from pg_type t
  where t.typtype = 'e' and ${inUserSchema('t.typnamespace')} and ${notOfExtension('pg_type', 't.oid')}
  order by 4`;

const COMPOSITES = `
  select 'pg_type' as catalog, t.oid::text, 'composite type' as kind, format_type(t.oid, null) as identity,
    format('create type %s as (%s)', format_type(t.oid, null),
      (select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
       from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped)) as sql
  from pg_type t
  join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
  where ${inUserSchema('t.typnamespace')} and ${notOfExtension('pg_type', 't.oid')}
  order by 4`;

const DOMAINS = `
  select 'pg_type' as catalog, t.oid::text, 'domain' as kind, format_type(t.oid, null) as identity,
    concat_ws(' ',
      format('create domain %s as %s', format_type(t.oid, null), format_type(t.typbasetype, t.typtypmod)),
      case when t.typcollation not in (0, (select b.typcollation from pg_type b where b.oid = t.typbasetype))
        then 'collate ' || t.typcollation::regcollation end,
      'default ' || pg_get_expr(t.typdefaultbin, 0),
      case when t.typnotnull then 'not null' end,
      (select string_agg(format('constraint %I %s', conname, pg_get_constraintdef(oid)), ' ' order by conname)
       from pg_constraint where contypid = t.oid and contype = 'c')) as sql
  from pg_type t
  where t.typtype = 'd' and ${inUserSchema('t.typnamespace')} and ${notOfExtension('pg_type', 't.oid')}
  order by 4`;

const SEQUENCE_OPTIONS = `format('as %s start with %s increment by %s minvalue %s maxvalue %s cache %s %s',
  format_type(s.seqtypid, null), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
  case when s.seqcycle then 'cycle' else 'no cycle' end)`;

const SEQUENCES = `
  select 'pg_class' as catalog, c.oid::text, 'sequence' as kind, c.oid::regclass::text as identity,
    format('create %s sequence %s %s', case c.relpersistence when 'u' then 'unlogged' end, c.oid::regclass,
      ${SEQUENCE_OPTIONS}) as sql
  from pg_class c
  join pg_sequence s on s.seqrelid = c.oid
  where ${inUserSchema('c.relnamespace')} and ${notOfExtension('pg_class', 'c.oid')}
    and not exists (select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i')
  order by 4`;

/** Identity columns name their sequence, which keeps its name; a partition gets its identity from its parent. */
const IDENTITY = `(
  select format('generated %s as identity (sequence name %s %s)',
    case a.attidentity when 'a' then 'always' else 'by default' end, s.seqrelid::regclass,
    substring(${SEQUENCE_OPTIONS} from ' (start.*)$'))
  from pg_depend d
  join pg_sequence s on s.seqrelid = d.objid
  where d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid = a.attnum
    and d.classid = 'pg_class'::regclass and d.deptype = 'i' and not c.relispartition)`;

/** PostgreSQL 18 keeps NOT NULL as a constraint that has a name; before, this finds none. */
const NOT_NULL = `(
  coalesce((select format('constraint %I ', n.conname) from pg_constraint n
    where n.conrelid = c.oid and n.contype = 'n' and n.conkey = array[a.attnum]), '') || 'not null')`;

const COLUMN = `concat_ws(' ',
  quote_ident(a.attname),
  format_type(a.atttypid, a.atttypmod),
  case when a.attcollation not in (0, (select typcollation from pg_type where oid = a.atttypid))
    then 'collate ' || a.attcollation::regcollation end,
  case a.attcompression when 'p' then 'compression pglz' when 'l' then 'compression lz4' end,
  case when a.attgenerated <> '' then format('generated always as (%s) %s', pg_get_expr(x.adbin, x.adrelid),
    case a.attgenerated when 's' then 'stored' else 'virtual' end) end,
  ${IDENTITY},
  case when a.attnotnull then ${NOT_NULL} end)`;

const TABLES = `
  select 'pg_class' as catalog, c.oid::text, 'table' as kind, c.oid::regclass::text as identity,
    concat_ws(' ',
      format('create %s table %s (%s)', case c.relpersistence when 'u' then 'unlogged' end, c.oid::regclass,
        (select string_agg(${COLUMN}, ', ' order by a.attnum)
         from pg_attribute a
         left join pg_attrdef x on x.adrelid = a.attrelid and x.adnum = a.attnum
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)),
      case when c.relkind = 'p' then 'partition by ' || pg_get_partkeydef(c.oid) end,
      'with (' || array_to_string(c.reloptions, ', ') || ')')
    || coalesce((select string_agg(format('; alter table only %s alter column %I set storage %s', c.oid::regclass, a.attname,
           case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end), ''
           order by a.attnum)
         from pg_attribute a
         join pg_type t on t.oid = a.atttypid
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attstorage <> t.typstorage), '')
    || coalesce((select string_agg(format('; alter table only %s alter column %I set statistics %s', c.oid::regclass, a.attname,
           a.attstattarget), '' order by a.attnum)
         from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attstattarget >= 0), '') as sql
  from pg_class c
  where c.relkind in ('r', 'p') and c.relpersistence <> 't'
    and ${inUserSchema('c.relnamespace')} and ${notOfExtension('pg_class', 'c.oid')}
  order by 4`;

const ROUTINES = `
  select 'pg_proc' as catalog, p.oid::text, case p.prokind when 'p' then 'procedure' else 'function' end as kind,
    p.oid::regprocedure::text as identity, pg_get_functiondef(p.oid) as sql
  from pg_proc p
  where p.prokind <> 'a' and ${inUserSchema('p.pronamespace')} and ${notOfExtension('pg_proc', 'p.oid')}
  order by 4`;

const VIEWS = `
  select 'pg_class' as catalog, c.oid::text, case c.relkind when 'v' then 'view' else 'materialized view' end as kind,
    c.oid::regclass::text as identity,
    concat_ws(' ',
      case c.relkind when 'v' then 'create view' else 'create materialized view' end,
      c.oid::regclass::text,
      'with (' || array_to_string(c.reloptions, ', ') || ')',
      'as ' || rtrim(pg_get_viewdef(c.oid), ';'),
      case when c.relkind = 'm' then 'with no data' end) as sql
  from pg_class c
  where c.relkind in ('v', 'm') and c.relpersistence <> 't'
    and ${inUserSchema('c.relnamespace')} and ${notOfExtension('pg_class', 'c.oid')}
  order by 4`;

const DEFAULTS = `
  select 'pg_attrdef' as catalog, x.oid::text, 'default' as kind, format('%s.%I', c.oid::regclass, a.attname) as identity,
    format('alter table only %s alter column %I set default %s', c.oid::regclass, a.attname,
      pg_get_expr(x.adbin, x.adrelid)) as sql
  from pg_attrdef x
  join pg_attribute a on a.attrelid = x.adrelid and a.attnum = x.adnum and a.attgenerated = ''
  join pg_class c on c.oid = x.adrelid and c.relpersistence <> 't'
  where ${inUserSchema('c.relnamespace')} and ${notOfExtension('pg_class', 'c.oid')}
  order by 4`;
