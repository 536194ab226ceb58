-- does:      tells whether migration 008 stands, every object of it, owned by iu_core_owner.
-- called by: macro event-worker, before step install-008.
-- locks:     none (catalog reads).
-- raises:    nothing.

with
  wanted (kind, name) as (
    values
      ('relation', 'iu_route_worker_cursor'),
      ('relation', 'iu_route_dead_letter'),
      ('relation', 'iu_route_held'),
      ('relation', 'iu_route_delivery'),
      ('relation', 'iu_route_lease'),
      ('relation', 'iu_probe_marker'),
      ('function', 'fn_iu_dead_letter_guard()'),
      ('function', 'fn_iu_probe_refuse_commit()'),
      ('function', 'fn_iu_in_probe()'),
      ('function', 'fn_iu_probe_begin()'),
      ('function', 'fn_iu_probe_demand()'),
      ('trigger', 'trg_iu_dead_letter_guard on iu_route_dead_letter'),
      ('trigger', 'trg_iu_dead_letter_snapshot on iu_route_dead_letter'),
      ('trigger', 'trg_iu_dead_letter_no_delete on iu_route_dead_letter'),
      ('trigger', 'trg_iu_dead_letter_no_truncate on iu_route_dead_letter'),
      ('trigger', 'trg_iu_probe_refuse_commit on iu_probe_marker'),
      ('trigger', 'trg_iu_probe_marker_stays on iu_probe_marker'),
      ('trigger', 'trg_iu_probe_marker_no_truncate on iu_probe_marker')
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
  'migration 008 holds' as check_id,
  case when count(found.name) = count(*) then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not owned by iu_core_owner: '
      || string_agg(format('%s %s', wanted.kind, wanted.name), ', ' order by wanted.name)
        filter (where found.name is null),
    count(*) || ' objects stand') as detail
from wanted
left join found on found.kind = wanted.kind
  and found.name = wanted.name
  and found.owner = to_regrole('iu_core_owner')::oid;
