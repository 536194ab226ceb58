-- does:      tells whether migration 002 stands: the outbox, routes and audit, every object of it, owned by iu_core_owner.
-- called by: macro iu-core-base, before step install-002.
-- locks:     none (catalog reads).
-- raises:    nothing.

with
  wanted (kind, name) as (
    values
      ('relation', 'iu_outbox_epoch'),
      ('relation', 'iu_outbox_subject'),
      ('relation', 'iu_outbox_partition'),
      ('relation', 'iu_outbox_ordered_type'),
      ('relation', 'event_outbox_default'),
      ('relation', 'iu_route_attempt_default'),
      ('relation', 'event_outbox'),
      ('relation', 'iu_outbound_route'),
      ('relation', 'iu_route_attempt'),
      ('function', 'fn_iu_uuid_v7()'),
      ('function', 'fn_iu_system_identifier()'),
      ('function', 'fn_iu_outbox_epoch()'),
      ('function', 'fn_iu_outbox_stamp()'),
      ('function', 'fn_iu_stamp_route()'),
      ('function', 'fn_iu_keep_ordered_types()'),
      ('function', 'fn_iu_retention_retired_until()'),
      ('trigger', 'trg_iu_outbox_stamp on event_outbox'),
      ('trigger', 'trg_iu_outbox_stamp on event_outbox_default'),
      ('trigger', 'trg_iu_outbox_append_only on event_outbox'),
      ('trigger', 'trg_iu_outbox_append_only on event_outbox_default'),
      ('trigger', 'trg_iu_outbox_no_truncate on event_outbox'),
      ('trigger', 'trg_iu_outbox_no_truncate on event_outbox_default'),
      ('trigger', 'trg_iu_attempt_no_truncate on iu_route_attempt_default'),
      ('trigger', 'trg_iu_keep_ordered_types on iu_outbound_route'),
      ('trigger', 'trg_iu_note_route_change on iu_outbound_route'),
      ('trigger', 'trg_iu_stamp_route on iu_outbound_route'),
      ('trigger', 'trg_iu_attempt_append_only on iu_route_attempt'),
      ('trigger', 'trg_iu_attempt_append_only on iu_route_attempt_default'),
      ('trigger', 'trg_iu_attempt_no_truncate on iu_route_attempt')
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
  'migration 002 holds' as check_id,
  case when count(found.name) = count(*) then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not owned by iu_core_owner: '
      || string_agg(format('%s %s', wanted.kind, wanted.name), ', ' order by wanted.name)
        filter (where found.name is null),
    'nothing is missing of ' || count(*) || ' objects') as detail
from wanted
left join found on found.kind = wanted.kind
  and found.name = wanted.name
  and found.owner = to_regrole('iu_core_owner')::oid;
