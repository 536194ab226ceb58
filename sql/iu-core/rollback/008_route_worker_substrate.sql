-- does:      removes cursors, dead letters, held events, the queue and the probe marker, as migration 008 found the schema.
-- called by: the rollback of macro event-worker, after that of 009.
-- locks:     ACCESS EXCLUSIVE on the tables, taken before the count, so no letter arrives behind it.
-- raises:    SL001 while a dead letter, an attempt or a queued delivery exists.

lock table iu_route_worker_cursor, iu_route_dead_letter, iu_route_delivery, iu_route_attempt in access exclusive mode;

do $$
declare
  v_attempts bigint;
  v_dead_letters bigint;
  v_queued bigint;
begin
  select count(*) into v_attempts from iu_route_attempt;
  select count(*) into v_dead_letters from iu_route_dead_letter;
  select count(*) into v_queued from iu_route_delivery;
  if v_attempts + v_dead_letters + v_queued > 0 then
    raise exception using
      errcode = 'SL001',
      message = format(
        '%s attempts, %s dead letters and %s queued deliveries exist; without the cursors nobody could say what was decided',
        v_attempts, v_dead_letters, v_queued),
      hint = 'They are history and are never deleted. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

drop table iu_route_worker_cursor;
drop table iu_route_dead_letter;
drop table iu_route_held;
drop table iu_route_delivery;
drop table iu_route_lease;
drop table iu_probe_marker;
drop function fn_iu_probe_demand();
drop function fn_iu_probe_begin();
drop function fn_iu_in_probe();
drop function fn_iu_probe_refuse_commit();
drop function fn_iu_dead_letter_guard();
delete from dot_config
where dot_config.key in (
  'iu_core.route_worker_max_batch',
  'iu_core.health_max_unrouted_seconds',
  'iu_core.health_max_stall_seconds',
  'iu_core.retention_enabled',
  'iu_core.retention_keep_days',
  'iu_core.retention_partition_hours',
  'iu_core.retention_partitions_ahead'
);
