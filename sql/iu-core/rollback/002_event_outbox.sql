-- does:      removes outbox, routes and audit, as migration 002 found the schema.
-- called by: the rollback of macro iu-core-base.
-- locks:     ACCESS EXCLUSIVE on the tables, taken before the count, so no event arrives behind it.
-- raises:    SL001 while an event or an attempt exists.

lock table event_outbox, iu_route_attempt in access exclusive mode;

do $$
declare
  v_events bigint;
  v_attempts bigint;
begin
  select count(*) into v_events from event_outbox;
  select count(*) into v_attempts from iu_route_attempt;
  if v_events + v_attempts > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s events and %s attempts exist; removing the outbox would destroy them', v_events, v_attempts),
      hint = 'They are history and are never deleted. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

drop table iu_route_attempt;
drop table iu_outbound_route;
drop table event_outbox;
drop function fn_iu_retention_retired_until();
drop table iu_outbox_partition;
drop table iu_outbox_subject;
drop table iu_outbox_ordered_type;
drop table iu_outbox_epoch;
drop function fn_iu_stamp_route();
drop function fn_iu_keep_ordered_types();
drop function fn_iu_outbox_stamp();
drop function fn_iu_outbox_epoch();
drop function fn_iu_system_identifier();
drop function fn_iu_uuid_v7();
