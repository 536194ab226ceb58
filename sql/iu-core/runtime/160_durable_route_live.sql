-- does:      opens the delivery gate and takes the one route on the list out of dry run, in one transaction. From its commit
--            on, the events that the worker routes to it are delivered.
-- called by: macro durable-live-route. Its undo is rollback 130.
-- locks:     the gate's row, the route's row.
-- raises:    SL008 where the list does not name exactly one route that is enabled and in dry run; check_violation by the guard.

do $$
declare
  v_names constant text[] := array(
    select trim(name)
    from dot_config
    cross join lateral string_to_table(dot_config.value, ',') as listed (name)
    where dot_config.key = 'iu_core.delivery_live_routes'
      and trim(name) <> ''
  );
begin
  update iu_outbound_route
  set dry_run = false
  where iu_outbound_route.route_code = v_names[1]
    and iu_outbound_route.enabled
    and iu_outbound_route.dry_run
    and cardinality(v_names) = 1;
  if not found then
    raise exception using
      errcode = 'SL008',
      message = format('no route can go live: iu_core.delivery_live_routes names %s',
        coalesce(nullif(array_to_string(v_names, ', '), ''), 'none')),
      hint = 'Exactly one, enabled and in dry run, was expected. Nothing was changed.';
  end if;
  update dot_config
  set value = 'true'
  where dot_config.key = 'iu_core.delivery_enabled';
end
$$;
