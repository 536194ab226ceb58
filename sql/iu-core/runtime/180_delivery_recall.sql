-- does:      takes what is still queued for routes that are not live out of the queue, each with its attempt: dry_run, or
--            skipped where the route is switched off. What somebody delivers at this moment is waited for.
-- called by: macro durable-live-route, once nothing is under way; the rollback of delivery-live and durable-live-route, after
--            the gate is closed and the route is in dry run.
-- locks:     the queued rows, passing over those that somebody has.
-- raises:    lock_not_available while a lease is held: try again, it ends by itself.

do $$
declare
  v_actor constant text := coalesce(nullif(current_setting('sluice.actor', true), ''), session_user);
  v_reason constant text := coalesce(nullif(current_setting('sluice.reason', true), ''), 'the route is in dry run again');
  v_limit constant integer := fn_iu_config_positive_int('iu_core.delivery_max_batch');
  v_route_code text;
  v_recalled jsonb;
  v_held text;
begin
  for v_route_code in
    select distinct q.route_code
    from iu_route_delivery as q
    join iu_outbound_route as r using (route_code)
    where r.dry_run
      or not r.enabled
    order by q.route_code
  loop
    loop
      v_recalled := fn_iu_route_delivery_recall(v_route_code, v_limit, v_actor, v_reason);
      exit when v_recalled ->> 'recalled' = '0' or v_recalled ->> 'still_queued' = '0';
    end loop;
    if v_recalled ->> 'still_queued' <> '0' then
      select string_agg(format('%s until %s', l.leased_by, l.leased_until), ', ')
      into v_held
      from iu_route_lease as l
      where l.route_code = v_route_code
        and l.leased_until > clock_timestamp();
      raise exception using
        errcode = 'lock_not_available',
        message = format('%s deliveries of route %s are under way: %s', v_recalled ->> 'still_queued', v_route_code,
          coalesce(v_held, 'they end this moment')),
        hint = 'Nothing further can start. Try again: what is not settled by then is recalled.';
    end if;
  end loop;
end
$$;
