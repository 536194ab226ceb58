import type pg from 'pg';
import { type Definition, inUserSchema, notOfExtension, type Section } from './definition.ts';

/** Comments, owners, grants, default privileges and event triggers. */
export async function describePrivileges(client: pg.Client): Promise<Definition[]> {
  const definitions: Definition[] = [];
  for (const [section, query] of QUERIES) {
    const { rows } = await client.query<Omit<Definition, 'section'>>(query);
    definitions.push(...rows.map((row) => ({ section, ...row })));
  }
  return definitions;
}

const COMMENTS = `
  select 'comment' as kind, format('%s %s', o.type, o.identity) as identity,
    format('comment on %s %s is %L',
      case
        when o.type ~ ' column$' then 'column'
        when o.type in ('table constraint', 'domain constraint') then 'constraint'
        when o.type = 'statistics object' then 'statistics'
        when o.type = 'composite type' then 'type'
        else o.type end,
      case when o.type = 'domain constraint' then replace(o.identity, ' on ', ' on domain ') else o.identity end,
      d.description) as sql
  from pg_description d
  cross join pg_identify_object(d.classoid, d.objoid, d.objsubid) o
  where d.objoid >= 16384
    and d.classoid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_namespace'::regclass,
      'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_statistic_ext'::regclass)
    and o.type not in ('aggregate', 'toast table') and o.identity !~ '^pg_(temp|toast)'
    and not exists (select from pg_depend e where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e')
  order by 2`;

const NOT_OF_EXTENSION = `not exists (
  select from pg_depend e where e.classid = o.catalog::regclass and e.objid = o.oid and e.deptype = 'e')`;

const OWNED = `
  select 'schema' as word, oid, quote_ident(nspname) as name, nspowner as owner, nspacl as acl, 'pg_namespace' as catalog
  from pg_namespace where ${inUserSchema('oid')}
  union all
  select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end,
    c.oid, c.oid::regclass::text, c.relowner, c.relacl, 'pg_class'
  from pg_class c where c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relpersistence <> 't' and ${inUserSchema('c.relnamespace')}
  union all
  select case p.prokind when 'p' then 'procedure' else 'function' end, p.oid, p.oid::regprocedure::text, p.proowner, p.proacl, 'pg_proc'
  from pg_proc p where p.prokind <> 'a' and ${inUserSchema('p.pronamespace')}
  union all
  select case t.typtype when 'd' then 'domain' else 'type' end, t.oid, format_type(t.oid, null), t.typowner, t.typacl, 'pg_type'
  from pg_type t left join pg_class c on c.oid = t.typrelid
  where t.typtype in ('e', 'd', 'c') and (c.oid is null or c.relkind = 'c') and ${inUserSchema('t.typnamespace')}
  union all
  select 'statistics', s.oid, format('%I.%I', n.nspname, s.stxname), s.stxowner, null, 'pg_statistic_ext'
  from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where ${inUserSchema('s.stxnamespace')}`;

/** A sequence that a column owns has its table's owner, always. */
const OWNERS = `
  select 'owner' as kind, format('%s %s', o.word, o.name) as identity,
    format('alter %s %s owner to %I', o.word, o.name, pg_get_userbyid(o.owner)) as sql
  from (${OWNED}) o
  where ${NOT_OF_EXTENSION}
    and not (o.word = 'sequence' and exists (select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = o.oid and d.refobjsubid > 0 and d.deptype in ('a', 'i')))
  order by 2`;

const GRANTED = `string_agg(format('; grant %s on %s %s to %s%s', g.privileges, g.word, g.name, g.grantee,
  case when g.is_grantable then ' with grant option' end), '' order by g.grantee, g.is_grantable)`;
const GRANTEE = `case when x.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end`;

const GRANTS = `
  select 'grant' as kind, format('%s %s', o.word, o.name) as identity,
    format('revoke all on %1$s %2$s from public; revoke all on %1$s %2$s from %3$I', w.word, o.name, pg_get_userbyid(o.owner))
    || coalesce((
      select ${GRANTED}
      from (
        select w.word, o.name, ${GRANTEE} as grantee, x.is_grantable, string_agg(x.privilege_type, ', ') as privileges
        from aclexplode(o.acl) x
        group by 3, 4
      ) g), '') as sql
  from (${OWNED}) o
  cross join lateral (select case when o.word in ('view', 'materialized view') then 'table' else o.word end as word) w
  where o.acl is not null
    and ${NOT_OF_EXTENSION}
  order by 2`;

const COLUMN_GRANTS = `
  select 'grant' as kind, format('column %s.%I', c.oid::regclass, a.attname) as identity,
    (select string_agg(format('grant %s (%I) on table %s to %s%s', x.privilege_type, a.attname, c.oid::regclass, ${GRANTEE},
        case when x.is_grantable then ' with grant option' end), '; ')
     from aclexplode(a.attacl) x) as sql
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  where a.attacl <> '{}' and a.attnum > 0 and not a.attisdropped
    and ${inUserSchema('c.relnamespace')} and ${notOfExtension('pg_class', 'c.oid')}
  order by 2`;

/** A global entry replaces the built-in default; one for a schema adds to it. */
const DEFAULT_PRIVILEGES = `
  select 'default privileges' as kind, format('%s %s %s', r.name, d.defaclobjtype, d.defaclnamespace::regnamespace) as identity,
    concat_ws('; ',
      case when d.defaclnamespace = 0 then format('alter default privileges for role %1$s revoke all on %2$s from public;
        alter default privileges for role %1$s revoke all on %2$s from %1$s', r.name, r.word) end,
      (select string_agg(format('alter default privileges for role %s %s grant %s on %s to %s%s', r.name, r.place,
          x.privilege_type, r.word, ${GRANTEE}, case when x.is_grantable then ' with grant option' end), '; ')
       from aclexplode(d.defaclacl) x)) as sql
  from pg_default_acl d
  cross join lateral (select quote_ident(pg_get_userbyid(d.defaclrole)) as name,
    case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types'
      when 'n' then 'schemas' else 'large objects' end as word,
    case when d.defaclnamespace = 0 then '' else 'in schema ' || d.defaclnamespace::regnamespace end as place) r
  order by 2`;

const EVENT_TRIGGERS = `
  select 'event trigger' as kind, quote_ident(e.evtname) as identity,
    format('create event trigger %I on %s%s execute function %s', e.evtname, e.evtevent,
      ' when tag in (' || (select string_agg(quote_literal(tag), ', ') from unnest(e.evttags) tag) || ')', e.evtfoid::regproc || '()')
    || case e.evtenabled when 'O' then '' else format('; alter event trigger %I %s', e.evtname,
      case e.evtenabled when 'D' then 'disable' when 'R' then 'enable replica' else 'enable always' end) end as sql
  from pg_event_trigger e
  where ${notOfExtension('pg_event_trigger', 'e.oid')}
  order by 2`;

const QUERIES: readonly (readonly [Section, string])[] = [
  ['after_rows', COMMENTS],
  ['owner', OWNERS],
  ['grant', GRANTS],
  ['grant', COLUMN_GRANTS],
  ['grant', DEFAULT_PRIVILEGES],
  ['last', EVENT_TRIGGERS],
];
