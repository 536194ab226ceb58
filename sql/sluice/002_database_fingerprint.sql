-- does:      installs the fingerprint that approvals, holds and rollbacks compare.
-- called by: `sluice init`.
-- locks:     none beyond creation.
-- raises:    nothing of its own.

create function sluice.fn_database_fingerprint()
  returns text
  language sql
  stable
  set search_path = pg_catalog, pg_temp
as $$
-- does: one digest over the cluster's identity and every definition outside system schemas and `sluice`; partitions are left
--       out, since they come and go with time, and what they are is said by their parents;
-- called by: openRun, approvals, release, closeRun; locks: none (catalog reads).
with
  watched_schema as (
    select n.oid, n.nspname, n.nspacl
    from pg_namespace as n
    where n.nspname not in ('pg_catalog', 'information_schema', 'sluice')
      and n.nspname !~ '^pg_(toast|temp)'
  ),
  described as (
    select 'schema ' || nspname || ' ' || coalesce(nspacl::text, '') as line
    from watched_schema
    union all
    select format('relation %s.%s %s %s %s %s %s',
      s.nspname, c.relname, c.relkind, c.relpersistence, c.relowner::regrole, coalesce(c.relacl::text, ''),
      coalesce(c.reloptions::text, ''))
    from pg_class as c
    join watched_schema as s on s.oid = c.relnamespace
    where c.relkind <> 't'
      and not c.relispartition
    union all
    select format('column %s.%s.%s %s %s %s %s',
      s.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
      coalesce(pg_get_expr(d.adbin, d.adrelid), ''), coalesce(a.attacl::text, ''))
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    join watched_schema as s on s.oid = c.relnamespace
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0
      and not a.attisdropped
      and c.relkind not in ('t', 'i', 'I')
      and not c.relispartition
    union all
    select format('constraint %s.%s %s %s', s.nspname, k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid))
    from pg_constraint as k
    join watched_schema as s on s.oid = k.connamespace
    left join pg_class as c on c.oid = k.conrelid
    where c.relispartition is not true
    union all
    select 'index ' || pg_get_indexdef(i.indexrelid) || ' ' || i.indisvalid
    from pg_index as i
    join pg_class as c on c.oid = i.indrelid
    join watched_schema as s on s.oid = c.relnamespace
    where c.relkind <> 't'
      and not c.relispartition
    union all
    select 'trigger ' || pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    join watched_schema as s on s.oid = c.relnamespace
    where not t.tgisinternal
      and not c.relispartition
    union all
    select format('view %s.%s %s', s.nspname, c.relname, pg_get_viewdef(c.oid))
    from pg_class as c
    join watched_schema as s on s.oid = c.relnamespace
    where c.relkind in ('v', 'm')
    union all
    select format('function %s %s %s %s', p.proowner::regrole, coalesce(p.proacl::text, ''), p.oid::regprocedure,
      case when p.prokind in ('f', 'p') then pg_get_functiondef(p.oid) else p.prokind::text end)
    from pg_proc as p
    join watched_schema as s on s.oid = p.pronamespace
    union all
    select format('type %s.%s %s %s', s.nspname, t.typname, t.typtype,
      (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid))
    from pg_type as t
    join watched_schema as s on s.oid = t.typnamespace
    where t.typtype in ('e', 'd', 'r')
    union all
    select format('policy %s.%s %s %s %s', p.polrelid::regclass, p.polname, p.polcmd,
      coalesce(pg_get_expr(p.polqual, p.polrelid), ''), coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''))
    from pg_policy as p
    union all
    select format('comment %s.%s %s %s', s.nspname, c.relname, d.objsubid, d.description)
    from pg_description as d
    join pg_class as c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass
    join watched_schema as s on s.oid = c.relnamespace
    where not c.relispartition
    union all
    select 'extension ' || x.extname || ' ' || x.extversion
    from pg_extension as x
  )
select encode(
  sha256(convert_to(
    (select system_identifier::text from pg_control_system())
      || ' ' || current_database()
      || coalesce((select string_agg(e'\n' || line, '' order by line collate "C") from described), ''),
    'UTF8')),
  'hex')
$$;
comment on function sluice.fn_database_fingerprint() is
  'Lower-case hex sha256 over the cluster''s identity, the database''s name and every definition outside system schemas and sluice; data and partitions are not part of it.';
revoke all on function sluice.fn_database_fingerprint() from public;
