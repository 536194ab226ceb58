-- does:      unbuilds the delivery seam: it raises again, as sql/iu-core/functions/delivery_dispatch.sql found the schema.
-- called by: the rollback of macro delivery-seam, after the functions of the queue.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: the delivery seam: hands one event to the target of a live route; unbuilt, so it always raises.
-- called by: fn_iu_route_worker_pass and fn_iu_route_decide, only for a live route behind open delivery gates.
-- locks: none.
-- raises: feature_not_supported.
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = format('delivery is not built: route %s, event %s', coalesce(p_route_code, '-'), coalesce(p_event_id::text, '-')),
    hint = 'Set the route to dry_run. Nothing was delivered.';
end
$$;
comment on function fn_iu_route_deliver(text, uuid, jsonb) is
  'Layer worker. The delivery seam; raises feature_not_supported until it is built.';

create or replace function fn_iu_delivery_is_queued(p_target_kind text)
  returns boolean
  language sql
  stable
  set search_path from current
as $$
-- does: whether deliveries to a kind of target are queued instead of handed to the seam at once; unbuilt, none is.
-- called by: fn_iu_routes_now, once a route and statement; locks: none; raises: nothing.
select false
$$;
comment on function fn_iu_delivery_is_queued(text) is
  'Layer worker. Whether deliveries to a kind of target are queued; none until the seam is built.';

drop function fn_iu_delivery_rival(text, uuid, jsonb);
drop function fn_iu_delivery_call(text, uuid, jsonb);
drop function fn_iu_delivery_function_fault(text);
