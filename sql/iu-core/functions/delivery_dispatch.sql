-- does:      builds the delivery seam: a function of the database is called at once, every other kind is queued.
-- called by: macro delivery-seam.
-- locks:     fn_iu_route_deliver and fn_iu_delivery_is_queued, which it re-authors; the rest it creates.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_delivery_function_fault(p_target_ref text)
  returns text
  language sql
  stable
  set search_path from current
as $$
-- does: why a sql_function target may not be called, or null. It runs with the rights of its own owner, never with those of
--       IU Core, so that it cannot reach what IU Core owns.
-- called by: fn_iu_delivery_call, sluice route; locks: none; raises: nothing.
select case
  when p_target_ref is null or p_target_ref !~ '^[a-z_][a-z0-9_$]*\.[a-z_][a-z0-9_$]*$'
    then format('target_ref %s is not of the form schema.function', coalesce(p_target_ref, 'null'))
  when not fn_iu_dot_list_names('iu_core.delivery_functions', p_target_ref)
    then format('function %s is not on the list iu_core.delivery_functions', p_target_ref)
  when p.oid is null or p.prokind <> 'f' or p.proretset or p.prorettype <> 'jsonb'::regtype
    then format('there is no function %s(jsonb) that returns jsonb', p_target_ref)
  when not p.prosecdef
    then format('function %s is not SECURITY DEFINER: it would run with the rights of IU Core', p_target_ref)
  when pg_has_role(p.proowner, 'iu_core_owner', 'member')
    then format('function %s belongs to %s, who has the rights of IU Core', p_target_ref, p.proowner::regrole)
  when not exists (
    select
    from unnest(p.proconfig) as setting (value)
    where setting.value like 'search_path=%'
  )
    then format('function %s pins no search_path', p_target_ref)
  when not has_schema_privilege('iu_core_owner', p.pronamespace, 'usage')
    or not has_function_privilege('iu_core_owner', p.oid, 'execute')
    then format('iu_core_owner may not execute function %s', p_target_ref)
end
from (values (split_part(p_target_ref, '.', 1), split_part(p_target_ref, '.', 2))) as named (schema_name, function_name)
-- Read from the catalog: a look-up by name raises where the caller may not use the schema.
left join pg_namespace as n on n.nspname = named.schema_name
left join pg_proc as p
  on p.pronamespace = n.oid
  and p.proname = named.function_name
  and p.proargtypes = array['jsonb'::regtype]::oidvector
$$;
comment on function fn_iu_delivery_function_fault(text) is
  'Layer delivery. Why a sql_function target may not be called, in one sentence; null where it may.';

create function fn_iu_delivery_call(p_route_code text, p_event_id uuid, p_request jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: delivers to a function of the database: calls it with the request, in this transaction, so that its effect and the
--       attempt stand or fall together. The function answers an outcome, or null for sent.
-- called by: fn_iu_route_deliver.
-- locks: what the function locks.
-- raises: feature_not_supported for a function that may not be called; SL009 where it answers failed or no valid outcome;
--         otherwise whatever it raises.
declare
  v_target_ref constant text := p_request ->> 'target_ref';
  v_fault constant text := fn_iu_delivery_function_fault(v_target_ref);
  v_answer jsonb;
begin
  if v_fault is not null then
    raise exception using
      errcode = 'feature_not_supported',
      message = v_fault,
      hint = format('Route %s cannot deliver. Nothing was delivered.', p_route_code);
  end if;
  execute format('select %s($1)', v_target_ref)
  into v_answer
  using p_request;
  v_answer := coalesce(nullif(v_answer, 'null'), '{"status": "sent", "delivered": true}');
  if (
    jsonb_typeof(v_answer) = 'object'
    and v_answer ->> 'status' in ('sent', 'skipped', 'failed')
    and jsonb_typeof(coalesce(v_answer -> 'detail', '{}')) = 'object'
    and coalesce(v_answer ->> 'delivered', 'false') in ('true', 'false')
    and (coalesce(v_answer ->> 'delivered', 'false') = 'false' or v_answer ->> 'status' = 'sent')
  ) is not true then
    raise exception using
      errcode = 'SL009',
      message = format('function %s answered no valid outcome', v_target_ref),
      hint = 'Answer {"status": "sent"|"skipped"|"failed", "delivered": boolean, "detail": {}}; delivered only with sent.';
  end if;
  if v_answer ->> 'status' = 'failed' then
    raise exception using
      errcode = 'SL009',
      message = format('function %s answered failed: %s', v_target_ref, left(coalesce(v_answer ->> 'detail', '-'), 500)),
      hint = 'What it did is rolled back.';
  end if;
  return v_answer;
end
$$;
comment on function fn_iu_delivery_call(text, uuid, jsonb) is
  'Layer delivery. Delivers to an allowlisted function of the database, in the transaction of the attempt.';

create function fn_iu_delivery_rival(p_route_code text, p_event_id uuid, p_request jsonb)
  returns text
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: the other worker that has queued an event for a route or has delivered it there; null where this one is the first.
--       Of two at the same time the second waits for the first one's transaction: a row of the queue stands for that moment.
-- called by: fn_iu_route_deliver, before a function of the database is called; locks: the event's place in the queue.
-- raises: nothing.
declare
  v_worker_code constant text := p_request ->> 'worker_code';
  v_rival text;
begin
  insert into iu_route_delivery (event_id, route_code, worker_code, attempt_no, target_kind, target_ref, request)
  values (
    p_event_id, p_route_code, v_worker_code, 1, p_request ->> 'target_kind', p_request ->> 'target_ref', '{}')
  on conflict do nothing;
  if found then
    delete from iu_route_delivery
    where iu_route_delivery.event_id = p_event_id
      and iu_route_delivery.route_code = p_route_code;
    select iu_route_attempt.worker_code
    into v_rival
    from iu_route_attempt
    where iu_route_attempt.idempotency_key >= p_event_id::text || ':' || p_route_code || ':'
      and iu_route_attempt.idempotency_key < p_event_id::text || ':' || p_route_code || ';'
      and iu_route_attempt.status = 'sent'
      and iu_route_attempt.worker_code <> v_worker_code
    limit 1;
  else
    select iu_route_delivery.worker_code
    into v_rival
    from iu_route_delivery
    where iu_route_delivery.event_id = p_event_id
      and iu_route_delivery.route_code = p_route_code
      and iu_route_delivery.worker_code <> v_worker_code;
  end if;
  return v_rival;
end
$$;
comment on function fn_iu_delivery_rival(text, uuid, jsonb) is
  'Layer delivery. The other worker that has an event for a route, or null.';

create or replace function fn_iu_delivery_is_queued(p_target_kind text)
  returns boolean
  language sql
  stable
  set search_path from current
as $$
-- does: whether deliveries to a kind of target are queued instead of handed to the seam at once: those that leave the
--       database are.
-- called by: fn_iu_routes_now, once a route and statement; locks: none; raises: nothing.
select coalesce(p_target_kind in ('workflow', 'vector', 'report', 'directus_flow', 'external_endpoint'), false)
$$;
comment on function fn_iu_delivery_is_queued(text) is
  'Layer worker. Whether deliveries to a kind of target are queued: those that leave the database.';

create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: the delivery seam, for what is not queued: calls the function of a sql_function target, unless another worker has
--       delivered the event to it.
-- called by: fn_iu_route_worker_pass and fn_iu_route_decide, only for a live route behind open delivery gates; sluice route
--       test, in a transaction that is rolled back.
-- locks: what the function locks.
-- raises: feature_not_supported for a kind or a function that is not built; SL009 where a function answers failed.
declare
  v_kind constant text := p_request ->> 'target_kind';
  v_rival text;
begin
  if v_kind is distinct from 'sql_function' then
    raise exception using
      errcode = 'feature_not_supported',
      message = format('no target of kind %s is built in the database: route %s, event %s',
        coalesce(v_kind, '-'), coalesce(p_route_code, '-'), coalesce(p_event_id::text, '-')),
      hint = 'Set the route to dry_run. Nothing was delivered.';
  end if;
  if exists (
    select
    from iu_route_worker_cursor
    where iu_route_worker_cursor.cursor_code <> p_request ->> 'worker_code'
  ) then
    v_rival := fn_iu_delivery_rival(p_route_code, p_event_id, p_request);
    if v_rival is not null then
      return jsonb_build_object(
        'status', 'skipped', 'delivered', false, 'detail', jsonb_build_object('because', 'worker ' || v_rival || ' has it'));
    end if;
  end if;
  return fn_iu_delivery_call(p_route_code, p_event_id, p_request - 'worker_code');
end
$$;
comment on function fn_iu_route_deliver(text, uuid, jsonb) is
  'Layer worker. The delivery seam, built: calls an allowlisted function; what leaves the database is queued before it.';

alter function fn_iu_delivery_function_fault(text) owner to iu_core_owner;
alter function fn_iu_delivery_call(text, uuid, jsonb) owner to iu_core_owner;
alter function fn_iu_delivery_rival(text, uuid, jsonb) owner to iu_core_owner;

revoke all on function fn_iu_delivery_function_fault(text) from public;
revoke all on function fn_iu_delivery_call(text, uuid, jsonb) from public;
revoke all on function fn_iu_delivery_rival(text, uuid, jsonb) from public;
grant execute on function fn_iu_delivery_function_fault(text) to iu_core_operator, iu_core_auditor;
