-- does:      demands that no delivery is queued, so that whatever is queued from here on is this macro's to take back.
-- called by: macros delivery-live and durable-live-route, before a route goes live. Its undo is runtime 180.
-- locks:     none.
-- raises:    SL008 where a delivery is queued.

do $$
declare
  v_queued text;
begin
  select string_agg(format('%s of route %s', waiting.deliveries, waiting.route_code), ', ' order by waiting.route_code)
  into v_queued
  from (
    select q.route_code, count(*) as deliveries
    from iu_route_delivery as q
    group by q.route_code
  ) as waiting;
  if v_queued is not null then
    raise exception using
      errcode = 'SL008',
      message = format('deliveries are queued: %s', v_queued),
      hint = 'Deliver them, or recall them with sluice route dry-run CODE --recall. Nothing was changed.';
  end if;
end
$$;
