-- does:      tells whether migration 001 stands: the configuration table and its gates, every object of it, owned by iu_core_owner.
-- called by: macro iu-core-base, before step install-001.
-- locks:     none (catalog reads).
-- raises:    nothing.

with
  wanted (kind, name) as (
    values
      ('relation', 'dot_config'),
      ('relation', 'iu_control_change'),
      ('function', 'fn_iu_stamp_config()'),
      ('function', 'fn_iu_append_only()'),
      ('function', 'fn_iu_note_control_change()'),
      ('function', 'fn_iu_gate_open(text)'),
      ('function', 'fn_iu_config_positive_int(text)'),
      ('trigger', 'trg_iu_stamp_config on dot_config'),
      ('trigger', 'trg_iu_note_config_change on dot_config'),
      ('trigger', 'trg_iu_control_change_append_only on iu_control_change'),
      ('trigger', 'trg_iu_control_change_no_truncate on iu_control_change')
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
  'migration 001 holds' as check_id,
  case when count(found.name) = count(*) then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not owned by iu_core_owner: '
      || string_agg(format('%s %s', wanted.kind, wanted.name), ', ' order by wanted.name)
        filter (where found.name is null),
    'nothing is missing of ' || count(*) || ' objects') as detail
from wanted
left join found on found.kind = wanted.kind
  and found.name = wanted.name
  and found.owner = to_regrole('iu_core_owner')::oid;
