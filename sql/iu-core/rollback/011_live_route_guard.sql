-- does:      puts the CHECK that forbids live routes back in the place of the guard, as migration 011 found the schema.
-- called by: the rollback of macro delivery-seam, before that of 010.
-- locks:     ACCESS EXCLUSIVE on iu_outbound_route and SHARE ROW EXCLUSIVE on the queue, taken before the counts, so that no
--            route goes live behind them, and nothing is queued.
-- raises:    SL001 while a route is live, or a delivery is queued: what could recall it comes off after this.

lock table iu_outbound_route in access exclusive mode;
lock table iu_route_delivery in share row exclusive mode;

do $$
declare
  v_live text;
  v_queued bigint;
begin
  select string_agg(iu_outbound_route.route_code, ', ' order by iu_outbound_route.route_code)
  into v_live
  from iu_outbound_route
  where iu_outbound_route.enabled
    and not iu_outbound_route.dry_run;
  if v_live is not null then
    raise exception using
      errcode = 'SL001',
      message = format('routes are live: %s; the CHECK cannot stand beside them', v_live),
      hint = 'Set them to dry run first. Nothing was changed; use the disable runbook.';
  end if;
  select count(*) into v_queued from iu_route_delivery;
  if v_queued > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s deliveries are queued; without the seam nobody could deliver or recall them', v_queued),
      hint = 'Deliver or recall them first. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

alter table iu_outbound_route add constraint iu_outbound_route_safe_chk check (not (enabled and not dry_run));
comment on constraint iu_outbound_route_safe_chk on iu_outbound_route is
  'A route is never enabled and live at once. Replaced, under backup, when the delivery seam is built.';
drop trigger trg_iu_outbound_route_safe_guard on iu_outbound_route;
drop function fn_iu_outbound_route_safe_guard();
