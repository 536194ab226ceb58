import type pg from 'pg';
import { type Definition, inUserSchema, notOfExtension, type Section } from './definition.ts';

/** What belongs to tables and is made after the rows are loaded, except constraints' dependants. */
export interface TableParts {
  readonly attachments: Definition[];
  readonly sequencePositions: Definition[];
  readonly keysAndChecks: Definition[];
  readonly foreignKeys: Definition[];
  readonly rest: Definition[];
}

export async function describeTableParts(client: pg.Client): Promise<TableParts> {
  const read = async (section: Section, queries: readonly string[]) => {
    const definitions: Definition[] = [];
    for (const query of queries) {
      const { rows } = await client.query<Omit<Definition, 'section'>>(query);
      definitions.push(...rows.map((row) => ({ section, ...row })));
    }
    return definitions;
  };
  return {
    attachments: await read('before_rows', [PARTITIONS]),
    sequencePositions: await sequencePositions(client),
    keysAndChecks: await read('after_rows', [CHECKS, KEYS, INDEXES, INDEX_PARTITIONS]),
    foreignKeys: await read('after_rows', [FOREIGN_KEYS]),
    rest: await read('after_rows', [
      OWNED_SEQUENCES,
      STATISTICS,
      REFRESHES,
      REPLICA_IDENTITIES,
      RULES,
      TRIGGERS,
      POLICIES,
      ROW_SECURITY,
    ]),
  };
}

const USER_TABLE = `c.relpersistence <> 't' and ${inUserSchema('c.relnamespace')} and ${notOfExtension('pg_class', 'c.oid')}`;

const PARTITIONS = `
  select 'partition' as kind, c.oid::regclass::text as identity,
    format('alter table only %s attach partition %s %s', i.inhparent::regclass, c.oid::regclass,
      pg_get_expr(c.relpartbound, c.oid)) as sql
  from pg_class c
  join pg_inherits i on i.inhrelid = c.oid
  where c.relispartition and c.relkind in ('r', 'p') and ${USER_TABLE}
  order by 2`;

const CHECKS = `
  select 'check constraint' as kind, format('%I on %s', o.conname, c.oid::regclass) as identity,
    format('alter table %s add constraint %I %s', c.oid::regclass, o.conname, pg_get_constraintdef(o.oid)) as sql
  from pg_constraint o
  join pg_class c on c.oid = o.conrelid
  where o.contype = 'c' and o.coninhcount = 0 and ${USER_TABLE}
  order by 2`;

const KEYS = `
  select case o.contype when 'p' then 'primary key' when 'u' then 'unique constraint' else 'exclusion constraint' end as kind,
    format('%I on %s', o.conname, c.oid::regclass) as identity,
    format('alter table only %s add constraint %I %s', c.oid::regclass, o.conname, pg_get_constraintdef(o.oid)) as sql
  from pg_constraint o
  join pg_class c on c.oid = o.conrelid
  where o.contype in ('p', 'u', 'x') and ${USER_TABLE}
  order by 2`;

const INDEXES = `
  select 'index' as kind, i.indexrelid::regclass::text as identity, pg_get_indexdef(i.indexrelid) as sql
  from pg_index i
  join pg_class c on c.oid = i.indrelid
  where (i.indisvalid or c.relkind = 'p') and ${USER_TABLE} and c.relkind in ('r', 'p', 'm')
    and not exists (select from pg_constraint o where o.conindid = i.indexrelid and o.contype in ('p', 'u', 'x'))
  order by 2`;

const INDEX_PARTITIONS = `
  select 'index partition' as kind, h.inhrelid::regclass::text as identity,
    format('alter index %s attach partition %s', h.inhparent::regclass, h.inhrelid::regclass) as sql
  from pg_inherits h
  join pg_class c on c.oid = h.inhrelid and c.relkind in ('i', 'I')
  where ${USER_TABLE}
  order by 2`;

const FOREIGN_KEYS = `
  select 'foreign key' as kind, format('%I on %s', o.conname, c.oid::regclass) as identity,
    format('alter table %s add constraint %I %s', c.oid::regclass, o.conname, pg_get_constraintdef(o.oid)) as sql
  from pg_constraint o
  join pg_class c on c.oid = o.conrelid
  where o.contype = 'f' and o.conparentid = 0 and ${USER_TABLE}
  order by 2`;

const OWNED_SEQUENCES = `
  select 'sequence owner' as kind, c.oid::regclass::text as identity,
    format('alter sequence %s owned by %s.%I', c.oid::regclass, d.refobjid::regclass, a.attname) as sql
  from pg_depend d
  join pg_class c on c.oid = d.objid and c.relkind = 'S'
  join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'a' and ${USER_TABLE}
  order by 2`;

const STATISTICS = `
  select 'statistics' as kind, format('%I.%I', n.nspname, s.stxname) as identity, pg_get_statisticsobjdef(s.oid) as sql
  from pg_statistic_ext s
  join pg_namespace n on n.oid = s.stxnamespace
  where ${inUserSchema('s.stxnamespace')}
  order by 2`;

const REFRESHES = `
  select 'refresh' as kind, c.oid::regclass::text as identity, format('refresh materialized view %s', c.oid::regclass) as sql
  from pg_class c
  where c.relkind = 'm' and c.relispopulated and ${USER_TABLE}
  order by c.oid`;

const REPLICA_IDENTITIES = `
  select 'replica identity' as kind, c.oid::regclass::text as identity,
    format('alter table only %s replica identity %s', c.oid::regclass, case c.relreplident
      when 'f' then 'full'
      when 'n' then 'nothing'
      else (select format('using index %I', x.relname) from pg_index i join pg_class x on x.oid = i.indexrelid
            where i.indrelid = c.oid and i.indisreplident) end) as sql
  from pg_class c
  where c.relkind in ('r', 'p') and c.relreplident <> 'd' and ${USER_TABLE}
  order by 2`;

const RULES = `
  select 'rule' as kind, format('%I on %s', r.rulename, c.oid::regclass) as identity,
    rtrim(pg_get_ruledef(r.oid), ';') || case r.ev_enabled when 'O' then '' else
      format('; alter table %s %s rule %I', c.oid::regclass,
        case r.ev_enabled when 'D' then 'disable' when 'R' then 'enable replica' else 'enable always' end, r.rulename) end as sql
  from pg_rewrite r
  join pg_class c on c.oid = r.ev_class
  where r.rulename <> '_RETURN' and ${USER_TABLE}
  order by 2`;

const TRIGGERS = `
  select 'trigger' as kind, format('%I on %s', t.tgname, c.oid::regclass) as identity,
    pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' else
      format('; alter table %s %s trigger %I', c.oid::regclass,
        case t.tgenabled when 'D' then 'disable' when 'R' then 'enable replica' else 'enable always' end, t.tgname) end as sql
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  where not t.tgisinternal and t.tgparentid = 0 and ${USER_TABLE}
  order by 2`;

const POLICIES = `
  select 'policy' as kind, format('%I on %s', p.polname, c.oid::regclass) as identity,
    concat_ws(' ', format('create policy %I on %s as %s for %s to %s', p.polname, c.oid::regclass,
        case when p.polpermissive then 'permissive' else 'restrictive' end,
        case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
        (select string_agg(case when role = 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', ')
         from unnest(p.polroles) role)),
      'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
      'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') as sql
  from pg_policy p
  join pg_class c on c.oid = p.polrelid
  where ${USER_TABLE}
  order by 2`;

const ROW_SECURITY = `
  select 'row level security' as kind, c.oid::regclass::text as identity,
    concat_ws('; ',
      case when c.relrowsecurity then format('alter table only %s enable row level security', c.oid::regclass) end,
      case when c.relforcerowsecurity then format('alter table only %s force row level security', c.oid::regclass) end) as sql
  from pg_class c
  where c.relkind in ('r', 'p') and (c.relrowsecurity or c.relforcerowsecurity) and ${USER_TABLE}
  order by 2`;

async function sequencePositions(client: pg.Client): Promise<Definition[]> {
  const sequences = await client.query<{ identity: string }>(`
    select c.oid::regclass::text as identity
    from pg_class c
    where c.relkind = 'S' and ${USER_TABLE}
      and not exists (select from pg_depend d join pg_class t on t.oid = d.refobjid
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i' and t.relispartition)
    order by 1`);
  const positions: Definition[] = [];
  for (const { identity } of sequences.rows) {
    const { rows } = await client.query<{ sql: string }>(
      `select format('select setval(%L, %s, %L)', $1::text, last_value, is_called) as sql from ${identity}`,
      [identity],
    );
    const sql = rows[0]?.sql;
    if (sql !== undefined)
      positions.push({ section: 'after_rows', kind: 'sequence position', identity, sql });
  }
  return positions;
}
