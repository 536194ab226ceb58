-- does:      removes gate, lists, limits and breakers of live delivery, as migration 010 found the schema.
-- called by: the rollback of macro delivery-seam, after that of 011 and of its functions.
-- locks:     SHARE ROW EXCLUSIVE on the queue, taken before the count, so nothing is queued behind it.
-- raises:    SL001 while a delivery is queued.

lock table iu_route_delivery in share row exclusive mode;

do $$
declare
  v_queued bigint;
begin
  select count(*) into v_queued from iu_route_delivery;
  if v_queued > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s deliveries are queued; without the seam nobody could deliver or recall them', v_queued),
      hint = 'Deliver or recall them first. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

drop table iu_route_breaker;
delete from dot_config
where dot_config.key in (
  'iu_core.delivery_enabled',
  'iu_core.delivery_live_routes',
  'iu_core.delivery_functions',
  'iu_core.delivery_max_batch',
  'iu_core.delivery_breaker_min_tries',
  'iu_core.delivery_breaker_percent',
  'iu_core.delivery_breaker_window_seconds',
  'iu_core.delivery_breaker_wait_seconds',
  'iu_core.delivery_breaker_max_wait_seconds'
);
