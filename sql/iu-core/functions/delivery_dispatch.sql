-- does:      builds the delivery seam: a function of the database is called at once, every other kind is queued.
-- called by: macro delivery-seam.
-- locks:     fn_iu_route_deliver, which it re-authors; the rest it creates.
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
  when p.oid is null or p.prokind <> 'f' or p.prorettype <> 'jsonb'::regtype
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
  when not has_function_privilege('iu_core_owner', p.oid, 'execute')
    then format('iu_core_owner may not execute function %s', p_target_ref)
end
from (
  select case
    when p_target_ref ~ '^[a-z_][a-z0-9_$]*\.[a-z_][a-z0-9_$]*$' then to_regprocedure(p_target_ref || '(jsonb)')
  end as oid
) as named
left join pg_proc as p on p.oid = named.oid
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
  using p_request - 'routed';
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

create function fn_iu_delivery_enqueue(p_route_code text, p_event_id uuid, p_request jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: queues a delivery that leaves the database, once for each event and route: a worker that comes second, or again,
--       queues nothing. Answers queued (its attempt is written when its outcome is settled), or skipped where another worker
--       has queued or delivered it.
-- called by: fn_iu_route_deliver.
-- locks: the new row; waits for a transaction that queues or settles the same.
-- raises: nothing of its own.
declare
  v_worker_code constant text := p_request #>> '{routed,worker_code}';
  v_attempt_no constant integer := (p_request #>> '{routed,attempt_no}')::integer;
  v_other text;
begin
  insert into iu_route_delivery (
    event_id, route_code, worker_code, attempt_no, target_kind, target_ref, request, detail)
  values (
    p_event_id, p_route_code, v_worker_code, v_attempt_no, p_request ->> 'target_kind', p_request ->> 'target_ref',
    p_request - 'routed', coalesce(p_request #> '{routed,detail}', '{}'))
  on conflict (event_id, route_code) do nothing;
  if not found then
    select iu_route_delivery.worker_code
    into v_other
    from iu_route_delivery
    where iu_route_delivery.event_id = p_event_id
      and iu_route_delivery.route_code = p_route_code;
    if v_other is null or v_other = v_worker_code then
      return '{"status": "queued"}';
    end if;
    return jsonb_build_object(
      'status', 'skipped', 'delivered', false, 'detail', jsonb_build_object('because', 'queued by worker ' || v_other));
  end if;

  select iu_route_attempt.worker_code
  into v_other
  from iu_route_attempt
  where iu_route_attempt.idempotency_key >= p_event_id::text || ':' || p_route_code || ':'
    and iu_route_attempt.idempotency_key < p_event_id::text || ':' || p_route_code || ';'
    and (
      iu_route_attempt.status = 'sent'
      or iu_route_attempt.worker_code = v_worker_code and iu_route_attempt.attempt_no >= v_attempt_no
    )
  order by iu_route_attempt.worker_code = v_worker_code desc
  limit 1;
  if not found then
    return '{"status": "queued"}';
  end if;
  delete from iu_route_delivery
  where iu_route_delivery.event_id = p_event_id
    and iu_route_delivery.route_code = p_route_code;
  if v_other = v_worker_code then
    return '{"status": "queued"}';
  end if;
  return jsonb_build_object(
    'status', 'skipped', 'delivered', false, 'detail', jsonb_build_object('because', 'delivered by worker ' || v_other));
end
$$;
comment on function fn_iu_delivery_enqueue(text, uuid, jsonb) is
  'Layer delivery. Queues a delivery that leaves the database, once for each event and route.';

create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: the delivery seam: hands one event to the target of a live route, by its kind. A function of the database is called
--       at once, unless another worker has delivered the event to it; every other kind is queued.
-- called by: fn_iu_route_worker_pass and fn_iu_route_decide, only for a live route behind open delivery gates.
-- locks: what is called or queued.
-- raises: feature_not_supported for a kind or a function that is not built; SL009 where a function answers failed.
declare
  v_kind constant text := p_request ->> 'target_kind';
  v_outcome jsonb;
begin
  if v_kind = 'sql_function' then
    -- Where there are several workers, a row stands for a moment: the second one waits for it, and then finds the attempt.
    if exists (
      select
      from iu_route_worker_cursor
      where iu_route_worker_cursor.cursor_code <> p_request #>> '{routed,worker_code}'
    ) then
      v_outcome := fn_iu_delivery_enqueue(p_route_code, p_event_id, p_request);
      if v_outcome ->> 'status' = 'skipped' then
        return v_outcome;
      end if;
      delete from iu_route_delivery
      where iu_route_delivery.event_id = p_event_id
        and iu_route_delivery.route_code = p_route_code;
    end if;
    return fn_iu_delivery_call(p_route_code, p_event_id, p_request);
  elsif v_kind in ('workflow', 'vector', 'report', 'directus_flow', 'external_endpoint') then
    return fn_iu_delivery_enqueue(p_route_code, p_event_id, p_request);
  end if;
  raise exception using
    errcode = 'feature_not_supported',
    message = format('no target of kind %s is built: route %s, event %s',
      coalesce(v_kind, '-'), coalesce(p_route_code, '-'), coalesce(p_event_id::text, '-')),
    hint = 'Set the route to dry_run. Nothing was delivered.';
end
$$;
comment on function fn_iu_route_deliver(text, uuid, jsonb) is
  'Layer worker. The delivery seam, built: calls an allowlisted function, or queues what leaves the database.';

alter function fn_iu_delivery_function_fault(text) owner to iu_core_owner;
alter function fn_iu_delivery_call(text, uuid, jsonb) owner to iu_core_owner;
alter function fn_iu_delivery_enqueue(text, uuid, jsonb) owner to iu_core_owner;

revoke all on function fn_iu_delivery_function_fault(text) from public;
revoke all on function fn_iu_delivery_call(text, uuid, jsonb) from public;
revoke all on function fn_iu_delivery_enqueue(text, uuid, jsonb) from public;
grant execute on function fn_iu_delivery_function_fault(text) to iu_core_operator, iu_core_auditor;
