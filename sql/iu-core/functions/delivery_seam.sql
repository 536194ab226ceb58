-- does:      installs the delivery seam (unbuilt: it raises), the reading of its gates, and the routes as they are now.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_dot_list_names(p_key text, p_name text)
  returns boolean
  language sql
  stable
  set search_path from current
as $$
-- does: whether a comma-separated list of dot_config names something; no row names nothing.
-- called by: fn_iu_delivery_open, the guard of live routes, fn_iu_delivery_function_fault; locks: none; raises: nothing.
select exists (
  select
  from dot_config
  where dot_config.key = p_key
    and p_name = any (regexp_split_to_array(btrim(dot_config.value), '\s*,\s*'))
)
$$;
comment on function fn_iu_dot_list_names(text, text) is
  'Layer worker. Whether a comma-separated list of dot_config names something; never null.';

create function fn_iu_delivery_open(p_route_code text)
  returns boolean
  language sql
  stable
  set search_path from current
as $$
-- does: whether a live route may deliver: the delivery gate is open and the list names the route.
-- called by: fn_iu_routes_now, replay; locks: none; raises: nothing, never returns null.
select fn_iu_gate_open('iu_core.delivery_enabled')
  and fn_iu_dot_list_names('iu_core.delivery_live_routes', p_route_code)
$$;
comment on function fn_iu_delivery_open(text) is
  'Layer worker. Whether a live route may deliver: iu_core.delivery_enabled is true and iu_core.delivery_live_routes names it.';

create function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
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

create function fn_iu_delivery_request(
  p_route_code text,
  p_target_kind text,
  p_target_ref text,
  p_event_id uuid,
  p_event_domain text,
  p_event_type text,
  p_event_subject text,
  p_subject_seq bigint,
  p_created_at timestamptz
)
  returns jsonb
  language sql
  stable
as $$
-- does: what a target is given of one event of a live route, beside the payload. It pins no search_path and qualifies every
--       name instead, so that it becomes part of the statement that calls it.
-- called by: fn_iu_route_worker_pass, fn_iu_route_decide; locks: none; raises: nothing.
select pg_catalog.jsonb_build_object(
  'route_code', p_route_code,
  'event_ref', p_event_id,
  'target_kind', p_target_kind,
  'target_ref', p_target_ref,
  'idempotency_key', pg_catalog.concat(p_event_id, ':', p_route_code),
  'event', pg_catalog.jsonb_build_object(
    'domain', p_event_domain,
    'type', p_event_type,
    'subject', p_event_subject,
    'subject_seq', p_subject_seq,
    'created_at', pg_catalog.to_char(pg_catalog.timezone('UTC', p_created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
$$;
comment on function fn_iu_delivery_request(text, text, text, uuid, text, text, text, bigint, timestamptz) is
  'Layer worker. The request that a target is given for one event, without its payload.';

create function fn_iu_delivery_is_queued(p_target_kind text)
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

create function fn_iu_route_seam_fails_closed()
  returns boolean
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: calls the seam for nothing and tells whether it refused as unbuilt; called by: checks W7 and L5.
-- locks: none; raises: nothing.
begin
  perform fn_iu_route_deliver(null, null, '{}');
  return false;
exception
  when feature_not_supported then
    return true;
  when others then
    return false;
end
$$;
comment on function fn_iu_route_seam_fails_closed() is
  'Layer worker. Whether the delivery seam refuses as unbuilt, found out by calling it for no event.';

create function fn_iu_routes_now()
  returns table (
    route_code text,
    event_domain text,
    event_type text,
    event_filter jsonpath,
    target_kind text,
    target_ref text,
    decision text,
    is_queued boolean,
    is_ordered boolean,
    after_dead_letter text
  )
  language sql
  stable
  rows 20
  set search_path from current
as $$
-- does: the enabled routes, each with what it does with an event at this moment: dry_run, live, or blocked by a gate.
-- called by: fn_iu_route_worker_pass, fn_iu_route_decide, the releases, once a statement; locks: none; raises: nothing.
select
  iu_outbound_route.route_code,
  iu_outbound_route.event_domain,
  iu_outbound_route.event_type,
  iu_outbound_route.event_filter,
  iu_outbound_route.target_kind,
  iu_outbound_route.target_ref,
  case
    when iu_outbound_route.dry_run then 'dry_run'
    when fn_iu_delivery_open(iu_outbound_route.route_code) then 'live'
    else 'blocked'
  end,
  fn_iu_delivery_is_queued(iu_outbound_route.target_kind),
  iu_outbound_route.ordered_by_subject,
  iu_outbound_route.after_dead_letter
from iu_outbound_route
where iu_outbound_route.enabled
$$;
comment on function fn_iu_routes_now() is
  'Layer worker. The enabled routes, each with the decision it makes now (dry_run, live or blocked) and whether live ones are queued.';

create function fn_iu_route_takes(p_event_filter jsonpath, p_payload jsonb)
  returns boolean
  language sql
  immutable
  set search_path from current
as $$
-- does: whether a filter takes a payload: its first item is there and is neither false nor null.
-- called by: fn_iu_route_worker_pass, fn_iu_route_decide, where a route has a filter; locks: none.
-- raises: whatever the path raises.
select coalesce(jsonb_path_query_first(p_payload, p_event_filter) not in ('false', 'null'), false)
$$;
comment on function fn_iu_route_takes(jsonpath, jsonb) is
  'Layer worker. Whether a route''s filter takes a payload: the first item of the path is there and neither false nor null.';

alter function fn_iu_dot_list_names(text, text) owner to iu_core_owner;
alter function fn_iu_delivery_open(text) owner to iu_core_owner;
alter function fn_iu_route_deliver(text, uuid, jsonb) owner to iu_core_owner;
alter function fn_iu_delivery_request(text, text, text, uuid, text, text, text, bigint, timestamptz) owner to iu_core_owner;
alter function fn_iu_delivery_is_queued(text) owner to iu_core_owner;
alter function fn_iu_route_seam_fails_closed() owner to iu_core_owner;
alter function fn_iu_routes_now() owner to iu_core_owner;
alter function fn_iu_route_takes(jsonpath, jsonb) owner to iu_core_owner;

revoke all on function fn_iu_dot_list_names(text, text) from public;
revoke all on function fn_iu_delivery_open(text) from public;
revoke all on function fn_iu_route_deliver(text, uuid, jsonb) from public;
revoke all on function fn_iu_delivery_request(text, text, text, uuid, text, text, text, bigint, timestamptz) from public;
revoke all on function fn_iu_delivery_is_queued(text) from public;
revoke all on function fn_iu_route_seam_fails_closed() from public;
revoke all on function fn_iu_routes_now() from public;
revoke all on function fn_iu_route_takes(jsonpath, jsonb) from public;
grant execute on function fn_iu_dot_list_names(text, text) to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_delivery_open(text) to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_deliver(text, uuid, jsonb) to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_seam_fails_closed() to iu_core_operator, iu_core_auditor;
