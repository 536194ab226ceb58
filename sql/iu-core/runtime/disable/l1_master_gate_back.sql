-- does:      way back of L1: opens the master gate again.
-- called by: the rollback of macro disable-outbound; operators, before l0_worker_gate_back.sql.
-- locks:     the gate's row.
-- raises:    SL001 while routes are off by L2: a worker that ran would record their events as no_route.

do $$
declare
  v_routes text;
begin
  select string_agg(iu_outbound_route.route_code, ', ' order by iu_outbound_route.route_code)
  into v_routes
  from iu_outbound_route
  where iu_outbound_route.disabled_by = 'L2';
  if v_routes is not null then
    raise exception using
      errcode = 'SL001',
      message = format('the master gate stays closed, because level L2 still keeps routes off: %s', v_routes),
      hint = 'Take L3 and L2 back first. Nothing was changed.';
  end if;

  update dot_config
  set value = 'true'
  where dot_config.key = 'iu_core.outbound_enabled';
end
$$;
