-- does:      routes exactly one event live, all in one transaction: decides about the events before it, opens the delivery
--            gate, takes the one route on the list out of dry run, lets the worker take that event, and lets the cursor rest
--            again. A function of the database is called here; every other kind leaves one row in the queue.
-- called by: macro delivery-live.
-- locks:     the cursor's row, the route's, the gate's; those of one run; all to the end.
-- raises:    SL008 where a condition does not hold any more, no event waits, or it was not routed live: nothing of it is left;
--            lock_not_available where the worker is busy, or the event lies above the high-water mark (try again).

do $$
declare
  v_cursor iu_route_worker_cursor;
  v_names constant text[] := array(
    select trim(name)
    from dot_config
    cross join lateral string_to_table(dot_config.value, ',') as listed (name)
    where dot_config.key = 'iu_core.delivery_live_routes'
      and trim(name) <> ''
  );
  v_route iu_outbound_route;
  v_event_id uuid;
  v_is_settled boolean;
  v_before integer;
  v_run jsonb;
  v_outcome text;
begin
  select iu_route_worker_cursor.*
  into v_cursor
  from iu_route_worker_cursor
  where iu_route_worker_cursor.cursor_code = 'iu_outbound_default'
  for update;
  select iu_outbound_route.*
  into v_route
  from iu_outbound_route
  where iu_outbound_route.route_code = v_names[1]
  for update;
  v_outcome := case
    when cardinality(v_names) <> 1 then format('iu_core.delivery_live_routes names %s routes', cardinality(v_names))
    when v_route.route_code is null then format('there is no route %s', v_names[1])
    when not v_route.enabled or not v_route.dry_run then format('route %s is not enabled and in dry run', v_names[1])
    when v_cursor.paused_because is distinct from 'delivery-live: one controlled delivery'
      then 'the cursor iu_outbound_default does not rest'
    when fn_iu_gate_open('iu_core.delivery_enabled') then 'the delivery gate is open already'
    when exists (select from iu_outbound_route as r where not r.dry_run) then 'another route is out of dry run'
    when exists (select from iu_route_delivery) then 'a delivery is queued'
  end;
  if v_outcome is not null then
    raise exception using
      errcode = 'SL008',
      message = format('no delivery can be made: %s', v_outcome),
      hint = 'One allowed route, enabled and in dry run, behind a closed gate, was expected. Nothing was changed.';
  end if;

  select ahead.id, ahead.settled, ahead.place - 1
  into v_event_id, v_is_settled, v_before
  from (
    select
      e.id,
      e.xact_id < pg_snapshot_xmin(pg_current_snapshot())
        or e.epoch < (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch) as settled,
      e.event_domain = v_route.event_domain
        and e.event_type = v_route.event_type
        and (
          v_route.event_filter is null
          or coalesce(jsonb_path_query_first(e.payload, v_route.event_filter, '{}', true) not in ('false', 'null'), false)
        ) as taken,
      row_number() over (order by e.epoch, e.xact_id, e.created_at, e.id) as place
    from event_outbox as e
    where (e.epoch, e.xact_id, e.created_at, e.id) > (
        coalesce(v_cursor.cursor_epoch, 0),
        coalesce(v_cursor.cursor_xact_id, '0'),
        coalesce(v_cursor.cursor_created_at, '-infinity'),
        coalesce(v_cursor.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
  ) as ahead
  where ahead.taken
  order by ahead.place
  limit 1;
  if v_event_id is null then
    raise exception using
      errcode = 'SL008',
      message = format('no event waits that route %s takes', v_route.route_code),
      hint = 'Emit or edit one unit version first. Nothing was changed.';
  elsif not v_is_settled then
    raise exception using
      errcode = 'lock_not_available',
      message = format('event %s lies above the high-water mark, held back by %s', v_event_id,
        coalesce(fn_iu_horizon_blocker() #>> '{pid}', 'a transaction that ends this moment')),
      hint = 'Try again once that has ended. Nothing was changed.';
  end if;

  update iu_route_worker_cursor
  set paused_because = null
  where iu_route_worker_cursor.cursor_code = 'iu_outbound_default';
  while v_before > 0 loop
    v_run := fn_iu_route_worker_run(
      'iu_outbound_default', least(v_before, fn_iu_config_positive_int('iu_core.route_worker_max_batch')));
    exit when v_run ->> 'status' <> 'ran' or v_run ->> 'seen' = '0';
    v_before := v_before - (v_run ->> 'seen')::integer;
  end loop;
  if v_before = 0 then
    update dot_config
    set value = 'true'
    where dot_config.key = 'iu_core.delivery_enabled';
    update iu_outbound_route
    set dry_run = false
    where iu_outbound_route.route_code = v_route.route_code;
    v_run := fn_iu_route_worker_run('iu_outbound_default', 1);
  end if;
  if v_run ->> 'status' in ('busy', 'gate_closing') or v_run ->> 'seen' = '0' and v_run ->> 'status' = 'ran' then
    raise exception using
      errcode = 'lock_not_available',
      message = format('the run that would deliver found the worker %s, seen=%s', v_run ->> 'status', v_run ->> 'seen'),
      hint = 'Try again. Nothing was changed.';
  end if;

  select coalesce(
    (
      select 'queued'
      from iu_route_delivery as q
      where q.event_id = v_event_id
        and q.route_code = v_route.route_code
    ),
    (
      select case when a.status = 'sent' and a.delivered then 'sent' else a.status || coalesce(' (' || a.failure_code || ')', '') end
      from iu_route_attempt as a
      where a.idempotency_key = v_event_id::text || ':' || v_route.route_code || ':iu_outbound_default'
      order by a.attempt_no desc
      limit 1
    ),
    case when exists (select from iu_route_held as h where h.event_id = v_event_id) then 'held back for the order of its subject' end,
    'not decided: ' || (v_run ->> 'status'))
  into v_outcome;
  if v_outcome not in ('queued', 'sent') or (select count(*) from iu_route_delivery) > 1 then
    raise exception using
      errcode = 'SL008',
      message = format('event %s was not routed live to route %s: %s', v_event_id, v_route.route_code, v_outcome),
      detail = coalesce(
        (
          select d.failure_detail ->> 'message'
          from iu_route_dead_letter as d
          where d.event_id = v_event_id
            and d.route_code = v_route.route_code
        ),
        ''),
      hint = 'The event waits as before; correct the target, then start again. Nothing was changed.';
  end if;

  update iu_route_worker_cursor
  set paused_because = 'delivery-live: one controlled delivery'
  where iu_route_worker_cursor.cursor_code = 'iu_outbound_default';
  perform set_config('iu_core.routed_live', format('event %s to route %s (%s): %s', v_event_id, v_route.route_code,
    v_route.target_kind, v_outcome), true);
end
$$;

select
  'one event routed live' as check_id,
  'pass' as verdict,
  current_setting('iu_core.routed_live') as detail;
