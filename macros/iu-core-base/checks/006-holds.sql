-- does:      tells whether migration 006 stands: structure operations, every object of it, owned by iu_core_owner.
-- called by: macro iu-core-base, before step install-006.
-- locks:     none (catalog reads).
-- raises:    nothing.

with
  wanted (kind, name) as (
    values
      ('relation', 'iu_structure_operation_kind'),
      ('relation', 'iu_structure_operation'),
      ('function', 'fn_iu_structure_operation_guard()'),
      ('trigger', 'trg_iu_structure_operation_guard on iu_structure_operation'),
      ('trigger', 'trg_iu_structure_operation_no_truncate on iu_structure_operation')
  ),
  found (kind, name, owner) as (
    select 'relation', c.relname::text, c.relowner
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    union all
    select 'function', wanted.name, p.proowner
    from wanted
    join pg_proc as p on p.oid = to_regprocedure(wanted.name)
    where wanted.kind = 'function'
    union all
    select 'trigger', t.tgname || ' on ' || c.relname, c.relowner
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
  )
select
  'migration 006 holds' as check_id,
  case when count(found.name) = count(*) then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not owned by iu_core_owner: '
      || string_agg(format('%s %s', wanted.kind, wanted.name), ', ' order by wanted.name)
        filter (where found.name is null),
    'nothing is missing of ' || count(*) || ' objects') as detail
from wanted
left join found on found.kind = wanted.kind
  and found.name = wanted.name
  and found.owner = to_regrole('iu_core_owner')::oid;
