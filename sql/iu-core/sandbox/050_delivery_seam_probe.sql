-- does:      proves the delivery seam on the installed database, V0 to V14: six routes, one of each kind, made for this
--            purpose, and events through the governed emitter; claim and settling by hand, so nothing leaves the database;
--            all of it inside one transaction that can only be rolled back. Figures are those of this transaction, so they
--            hold on a database with history, beside writers and beside a running drain.
-- called by: macro delivery-seam, as a probe: REPEATABLE READ, rolled back by the engine whatever happens.
-- locks:     the cursor's row first, then rows of gates and lists, to the end.
-- raises:    SL005 at COMMIT, or where a statement is run on its own; 55P03 where the worker is busy, 40001 where a row
--            changed since the snapshot: the whole probe is tried again.

do $$
-- The cursor comes first: a drain holds it only for a moment, and finds it busy from here on.
begin
  if current_setting('lock_timeout') in ('0', '0ms') then
    perform set_config('lock_timeout', '5s', true);
  end if;
  perform 1
  from iu_route_worker_cursor
  where iu_route_worker_cursor.cursor_code = 'iu_outbound_default'
  for update;
  if not found then
    raise exception using
      errcode = 'SL008',
      message = 'there is no cursor iu_outbound_default',
      hint = 'Run macro event-worker first. Nothing was changed.';
  end if;
  perform fn_iu_probe_begin();
end
$$;

do $$
-- V0: this transaction has written nothing yet, and delivery is closed.
declare
  v_own constant xid8 := pg_current_xact_id();
  v_rows bigint;
begin
  perform fn_iu_probe_demand();
  create temporary table iu_probe_check (
    check_no integer generated always as identity primary key,
    check_id text not null unique,
    verdict text not null,
    detail text not null
  ) on commit drop;
  create temporary table iu_probe_cursor on commit drop as
    select *
    from iu_route_worker_cursor
    where iu_route_worker_cursor.cursor_code = 'iu_outbound_default';
  create temporary table iu_probe_effect (event_ref text not null) on commit drop;

  select
    (select count(*) from event_outbox where event_outbox.xact_id = v_own)
      + (select count(*) from iu_route_attempt where iu_route_attempt.xact_id = v_own)
      + (select count(*) from iu_route_delivery where iu_route_delivery.xact_id = v_own)
      + (select count(*) from iu_route_dead_letter where iu_route_dead_letter.xact_id = v_own)
  into v_rows;
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V0 baseline',
    case when v_rows = 0 and gate.value = 'false' and list.value = '' then 'pass' else 'fail' end,
    format('%s rows of this transaction; delivery gate %s, live routes %s', v_rows, coalesce(gate.value, 'missing'),
      coalesce(quote_literal(list.value), 'missing'))
  from (values (true)) as once (always)
  left join dot_config as gate on gate.key = 'iu_core.delivery_enabled'
  left join dot_config as list on list.key = 'iu_core.delivery_live_routes';
end
$$;

do $$
-- A function that a route may call: of a role without the rights of IU Core, which ends with this transaction.
declare
  v_role constant text := format('iu_probe_%s_%s',
    (select d.oid from pg_database as d where d.datname = current_database()), pg_current_xact_id());
begin
  perform fn_iu_probe_demand();
  create function pg_temp.fn_iu_probe_target(p_request jsonb)
    returns jsonb
    language sql
    security definer
    set search_path = pg_catalog
  as $function$
  insert into pg_temp.iu_probe_effect (event_ref)
  values (p_request ->> 'event_ref')
  returning jsonb_build_object('status', 'sent', 'delivered', true)
  $function$;
  execute format('create role %I nologin', v_role);
  if not (select pg_roles.rolsuper from pg_roles where pg_roles.rolname = current_user) then
    execute format('grant %I to %I', v_role, current_user);
  end if;
  execute format('grant insert, select on pg_temp.iu_probe_effect to %I', v_role);
  execute format('alter function pg_temp.fn_iu_probe_target(jsonb) owner to %I', v_role);
  -- Routes name it by the schema that pg_temp stands for in this session.
  perform set_config('iu_core.probe_function', format('%s.fn_iu_probe_target', pg_my_temp_schema()::regnamespace), true);
end
$$;

do $$
-- V1: the seam knows six kinds, and refuses a seventh and nothing at all.
declare
  v_refused text := 'nothing was refused';
begin
  perform fn_iu_probe_demand();
  insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
  values
    ('iu_probe.sql_function', 'iu', 'delivery_probe', 'sql_function', current_setting('iu_core.probe_function'), true, true),
    ('iu_probe.workflow', 'iu', 'delivery_probe', 'workflow', 'nowhere/Probe', true, true),
    ('iu_probe.vector', 'iu', 'delivery_probe', 'vector', 'nowhere.probe', true, true),
    ('iu_probe.report', 'iu', 'delivery_probe', 'report', 'probe', true, true),
    ('iu_probe.directus_flow', 'iu', 'delivery_probe', 'directus_flow', '00000000-0000-0000-0000-000000000000', true, true),
    ('iu_probe.external_endpoint', 'iu', 'delivery_probe', 'external_endpoint', 'https://nowhere.invalid/', true, true);
  begin
    perform fn_iu_route_deliver('iu_probe', gen_random_uuid(), '{"target_kind": "pigeon"}');
  exception
    when feature_not_supported then
      v_refused := 'pigeon refused';
  end;

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V1 six kinds',
    case when count(*) = 6 and v_refused = 'pigeon refused' and fn_iu_route_seam_fails_closed() then 'pass' else 'fail' end,
    format('%s; %s; called for nothing it fails closed: %s',
      string_agg(r.target_kind, ', ' order by r.target_kind), v_refused, fn_iu_route_seam_fails_closed()::text)
  from iu_outbound_route as r
  where r.event_type = 'delivery_probe';
end
$$;

do $$
-- V2: in dry run every kind is recorded and none is queued or called.
declare
  v_event_id uuid;
  v_run jsonb;
begin
  perform fn_iu_probe_demand();
  v_event_id := fn_iu_emit_event('iu', 'delivery_probe', 'probe', null, '{"probe": "V2"}', 'probe');
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  if v_run ->> 'status' in ('busy', 'gate_closing') then
    raise exception using
      errcode = 'lock_not_available',
      message = format('the probe found the worker %s', v_run ->> 'status'),
      hint = 'Try the whole probe again. Nothing of it is left.';
  end if;

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V2 dry run',
    case
      when v_run ->> 'status' = 'ran' and count(*) = 6 and bool_and(a.decision = 'dry_run' and not a.delivered)
        and queued.events = 0 and called.times = 0 then 'pass'
      else 'fail'
    end,
    format('%s; attempts %s, of them dry_run %s; queued %s, called %s', v_run ->> 'status', count(*),
      count(*) filter (where a.decision = 'dry_run'), queued.events, called.times)
  from (select count(*) as events from iu_route_delivery where iu_route_delivery.xact_id = pg_current_xact_id()) as queued
  cross join (select count(*) as times from pg_temp.iu_probe_effect) as called
  left join iu_route_attempt as a on a.event_id = v_event_id
  group by queued.events, called.times;
end
$$;

do $$
-- V3: a route that is not on the list cannot go live, by UPDATE or INSERT, even behind an open gate.
declare
  v_updated text := 'accepted';
  v_inserted text := 'accepted';
  v_constraint text;
begin
  perform fn_iu_probe_demand();
  update dot_config set value = 'true' where dot_config.key = 'iu_core.delivery_enabled';
  begin
    update iu_outbound_route set dry_run = false where iu_outbound_route.route_code = 'iu_probe.report';
  exception
    when check_violation then
      get stacked diagnostics v_constraint = constraint_name;
      v_updated := 'refused by ' || v_constraint;
  end;
  begin
    insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
    values ('iu_probe.unlisted', 'iu', 'delivery_probe', 'report', 'probe', true, false);
  exception
    when check_violation then
      get stacked diagnostics v_constraint = constraint_name;
      v_inserted := 'refused by ' || v_constraint;
  end;
  update dot_config set value = 'false' where dot_config.key = 'iu_core.delivery_enabled';

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'V3 live without the list',
    case
      when v_updated = 'refused by iu_outbound_route_safe_guard' and v_inserted = 'refused by iu_outbound_route_safe_guard'
        then 'pass'
      else 'fail'
    end,
    format('UPDATE %s, INSERT %s', v_updated, v_inserted)
  );
end
$$;

do $$
-- V4: behind a closed gate live routes are blocked: recorded, not queued, not called. V5: with the gate open they are
-- released under the same keys.
declare
  v_event_id uuid;
  v_released jsonb;
begin
  perform fn_iu_probe_demand();
  update dot_config
  set value = (
    select string_agg(r.route_code, ',')
    from iu_outbound_route as r
    where r.event_type = 'delivery_probe'
  )
  where dot_config.key = 'iu_core.delivery_live_routes';
  update dot_config
  set value = current_setting('iu_core.probe_function')
  where dot_config.key = 'iu_core.delivery_functions';
  update iu_outbound_route
  set dry_run = false
  where iu_outbound_route.event_type = 'delivery_probe';

  v_event_id := fn_iu_emit_event('iu', 'delivery_probe', 'probe', null, '{"probe": "V4"}', 'probe');
  perform fn_iu_route_worker_run('iu_outbound_default', 10);
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V4 gate closed',
    case
      when count(*) = 6 and bool_and(a.decision = 'blocked' and not a.delivered)
        and queued.events = 0 and called.times = 0 then 'pass'
      else 'fail'
    end,
    format('attempts %s, of them blocked %s; queued %s, called %s', count(*),
      count(*) filter (where a.decision = 'blocked'), queued.events, called.times)
  from (select count(*) as events from iu_route_delivery where iu_route_delivery.event_id = v_event_id) as queued
  cross join (select count(*) as times from pg_temp.iu_probe_effect) as called
  left join iu_route_attempt as a on a.event_id = v_event_id
  group by queued.events, called.times;

  update dot_config set value = 'true' where dot_config.key = 'iu_core.delivery_enabled';
  v_released := fn_iu_route_blocked_release('iu_outbound_default', 10, 'probe', 'V5');
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V5 released',
    case
      when v_released @> '{"status": "released", "released": 6, "still_blocked": 0}'
        and count(*) filter (where a.attempt_no = 2) = 1
        and bool_and(a.status = 'sent' and a.delivered and a.target_kind = 'sql_function') filter (where a.attempt_no = 2)
        and queued.events = 5 and queued.numbered = 5 and called.times = 1 then 'pass'
      else 'fail'
    end,
    format('released %s, still blocked %s; second attempts %s; queued %s, %s of them as attempt 2; called %s',
      v_released ->> 'released', v_released ->> 'still_blocked', count(*) filter (where a.attempt_no = 2),
      queued.events, queued.numbered, called.times)
  from (
    select count(*) as events, count(*) filter (where q.attempt_no = 2) as numbered
    from iu_route_delivery as q
    where q.event_id = v_event_id
  ) as queued
  cross join (select count(*) as times from pg_temp.iu_probe_effect) as called
  left join iu_route_attempt as a on a.event_id = v_event_id
  group by queued.events, queued.numbered, called.times;
end
$$;

do $$
-- V6: live, each kind that leaves the database is one row in the queue and no attempt; the function is called once. V7:
-- claimed again after the cursor was reset, nothing is queued, called or written.
declare
  v_event_id uuid;
  v_run jsonb;
  v_before jsonb;
  v_after jsonb;
begin
  perform fn_iu_probe_demand();
  v_event_id := fn_iu_emit_event('iu', 'delivery_probe', 'probe', null, '{"probe": "V6"}', 'probe');
  perform fn_iu_route_worker_run('iu_outbound_default', 10);
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V6 live',
    case
      when queued.events = 5 and queued.kinds = 5 and count(*) = 1
        and bool_and(a.status = 'sent' and a.delivered and a.target_kind = 'sql_function' and a.attempt_no = 1)
        and called.times = 1 then 'pass'
      else 'fail'
    end,
    format('queued %s rows of %s kinds; attempts %s (%s, delivered %s); the function was called %s times', queued.events,
      queued.kinds, count(*), string_agg(a.status, ', '), bool_or(a.delivered)::text, called.times)
  from (
    select count(*) as events, count(distinct q.target_kind) as kinds
    from iu_route_delivery as q
    where q.event_id = v_event_id
  ) as queued
  cross join (
    select count(*) as times
    from pg_temp.iu_probe_effect as e
    where e.event_ref = v_event_id::text
  ) as called
  left join iu_route_attempt as a on a.event_id = v_event_id
  group by queued.events, queued.kinds, called.times;

  select jsonb_build_object(
    'queued', (select count(*) from iu_route_delivery where iu_route_delivery.xact_id = pg_current_xact_id()),
    'attempts', (select count(*) from iu_route_attempt where iu_route_attempt.xact_id = pg_current_xact_id()),
    'called', (select count(*) from pg_temp.iu_probe_effect))
  into v_before;
  update iu_route_worker_cursor
  set cursor_epoch = null, cursor_xact_id = null, cursor_created_at = null, cursor_event_id = null
  where iu_route_worker_cursor.cursor_code = 'iu_outbound_default';
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  select jsonb_build_object(
    'queued', (select count(*) from iu_route_delivery where iu_route_delivery.xact_id = pg_current_xact_id()),
    'attempts', (select count(*) from iu_route_attempt where iu_route_attempt.xact_id = pg_current_xact_id()),
    'called', (select count(*) from pg_temp.iu_probe_effect))
  into v_after;
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'V7 once',
    case
      when v_run ->> 'seen' = '3' and v_run ->> 'attempts_written' = '0' and v_before = v_after then 'pass'
      else 'fail'
    end,
    format('cursor reset, claimed again: seen=%s, attempts_written=%s; before %s, after %s', v_run ->> 'seen',
      v_run ->> 'attempts_written', v_before, v_after)
  );
end
$$;

do $$
-- V8: a function that is not on the list is not called; its event is a dead letter, the other routes deliver.
declare
  v_event_id uuid;
begin
  perform fn_iu_probe_demand();
  update dot_config set value = '' where dot_config.key = 'iu_core.delivery_functions';
  v_event_id := fn_iu_emit_event('iu', 'delivery_probe', 'probe', null, '{"probe": "V8"}', 'probe');
  perform fn_iu_route_worker_run('iu_outbound_default', 10);
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V8 function not allowed',
    case
      when count(*) = 1 and bool_and(d.route_code = 'iu_probe.sql_function' and d.failure_code = 'worker_process_error')
        and called.times = 0 and queued.events = 5 then 'pass'
      else 'fail'
    end,
    format('dead letters %s: %s; called %s; queued for the others %s', count(d.event_id),
      coalesce(string_agg(d.failure_detail ->> 'message', '; '), 'none'), called.times, queued.events)
  from (select count(*) as events from iu_route_delivery as q where q.event_id = v_event_id) as queued
  cross join (
    select count(*) as times
    from pg_temp.iu_probe_effect as e
    where e.event_ref = v_event_id::text
  ) as called
  left join iu_route_dead_letter as d on d.event_id = v_event_id
  group by queued.events, called.times;
end
$$;

do $$
-- V9 to V11: claimed and settled by hand, as the delivery activity does: sent, failed with another try, failed for good;
-- a lease that holds nothing settles nothing.
declare
  v_token constant uuid := gen_random_uuid();
  v_claimed uuid[];
  v_foreign jsonb;
  v_settled jsonb;
begin
  perform fn_iu_probe_demand();
  select array_agg(claim.event_id order by claim.event_id)
  into v_claimed
  from fn_iu_route_delivery_claim('iu_probe.external_endpoint', 10, 60000, v_token, 'probe') as claim;
  v_foreign := fn_iu_route_delivery_settle('iu_probe.external_endpoint', gen_random_uuid(), jsonb_build_array(
    jsonb_build_object('event_id', v_claimed[1], 'status', 'sent', 'delivered', true)));
  v_settled := fn_iu_route_delivery_settle('iu_probe.external_endpoint', v_token, jsonb_build_array(
    jsonb_build_object('event_id', v_claimed[1], 'status', 'sent', 'delivered', true, 'detail', '{"http_status": 204}'::jsonb),
    jsonb_build_object('event_id', v_claimed[2], 'status', 'failed', 'code', 'http_503', 'message', 'V10', 'retry_ms', 60000),
    jsonb_build_object('event_id', v_claimed[3], 'status', 'failed', 'code', 'http_400', 'message', 'V11')));

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V9 settled as sent',
    case
      when cardinality(v_claimed) = 3 and v_foreign @> '{"settled": 0, "refused": 1}'
        and v_settled @> '{"settled": 3, "sent": 1, "retried": 1, "dead_lettered": 1, "refused": 0, "breaker": "closed"}'
        and newest.status = 'sent' and newest.delivered and not newest.queued then 'pass'
      else 'fail'
    end,
    format('claimed %s; a foreign lease: %s; the holder: %s; attempt %s, delivered %s, still queued %s',
      coalesce(cardinality(v_claimed), 0), v_foreign, v_settled, coalesce(newest.status, 'none'), newest.delivered::text,
      newest.queued::text)
  from (values (true)) as once (always)
  left join (
    select
      a.status,
      a.delivered,
      exists (
        select
        from iu_route_delivery as q
        where q.event_id = a.event_id
          and q.route_code = a.route_code
      ) as queued
    from iu_route_attempt as a
    where a.event_id = v_claimed[1]
      and a.route_code = 'iu_probe.external_endpoint'
    order by a.attempt_no desc
    limit 1
  ) as newest on true;

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V10 settled for another try',
    case
      when a.status = 'failed' and a.failure_code = 'http_503' and q.tries = 1 and q.attempt_no = a.attempt_no + 1
        and q.due_at > clock_timestamp() and q.lease_token is null then 'pass'
      else 'fail'
    end,
    format('attempt %s %s (%s); queued as attempt %s, tries %s, due later: %s', a.attempt_no, a.status, a.failure_code,
      q.attempt_no, q.tries, (q.due_at > clock_timestamp())::text)
  from (values (true)) as once (always)
  left join iu_route_attempt as a on a.event_id = v_claimed[2]
    and a.route_code = 'iu_probe.external_endpoint'
    and a.failure_code is not null
  left join iu_route_delivery as q on q.event_id = v_claimed[2] and q.route_code = 'iu_probe.external_endpoint';

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V11 settled as dead letter',
    case when d.state = 'open' and d.failure_code = 'http_400' and q.event_id is null then 'pass' else 'fail' end,
    format('dead letter %s (%s); still queued: %s', coalesce(d.state, 'none'), d.failure_code, (q.event_id is not null)::text)
  from (values (true)) as once (always)
  left join iu_route_dead_letter as d on d.event_id = v_claimed[3] and d.route_code = 'iu_probe.external_endpoint'
  left join iu_route_delivery as q on q.event_id = v_claimed[3] and q.route_code = 'iu_probe.external_endpoint';
end
$$;

do $$
-- V12: each gate stops the queue as well. V13: what is queued for a route in dry run is recalled, each with its attempt.
declare
  v_open text;
  v_delivery text;
  v_worker text;
  v_master text;
  v_claimed bigint;
  v_recalled jsonb;
begin
  perform fn_iu_probe_demand();
  v_open := fn_iu_route_delivery_work('{report}') ->> 'status';
  update dot_config set value = 'false' where dot_config.key = 'iu_core.delivery_enabled';
  v_delivery := fn_iu_route_delivery_work('{report}') ->> 'status';
  select count(*)
  into v_claimed
  from fn_iu_route_delivery_claim('iu_probe.report', 10, 60000, gen_random_uuid(), 'probe');
  update dot_config set value = 'false' where dot_config.key = 'iu_core.route_worker_enabled';
  v_worker := fn_iu_route_delivery_work('{report}') ->> 'status';
  update dot_config set value = 'false' where dot_config.key = 'iu_core.outbound_enabled';
  v_master := fn_iu_route_delivery_work('{report}') ->> 'status';
  update dot_config
  set value = 'true'
  where dot_config.key in ('iu_core.outbound_enabled', 'iu_core.route_worker_enabled', 'iu_core.delivery_enabled');
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'V12 gates',
    case
      when v_open = 'open' and v_delivery = 'delivery_gate_closed' and v_worker = 'worker_gate_closed'
        and v_master = 'master_gate_closed' and v_claimed = 0 then 'pass'
      else 'fail'
    end,
    format('%s; %s, claimed %s; %s; %s', v_open, v_delivery, v_claimed, v_worker, v_master)
  );

  update iu_outbound_route set dry_run = true where iu_outbound_route.route_code = 'iu_probe.report';
  v_recalled := fn_iu_route_delivery_recall('iu_probe.report', 10, 'probe', 'V13');
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'V13 recalled',
    case
      when v_recalled @> '{"recalled": 3, "still_queued": 0}' and count(*) = 3 and bool_and(a.decision = 'dry_run') then 'pass'
      else 'fail'
    end,
    format('recalled %s, still queued %s; attempts %s', v_recalled ->> 'recalled', v_recalled ->> 'still_queued',
      coalesce(string_agg(a.decision, ', '), 'none'))
  from iu_route_attempt as a
  where a.route_code = 'iu_probe.report'
    and a.detail ->> 'recalled_by' = 'probe';
end
$$;

do $$
-- V14: every event of this transaction is accounted for at each route, by an attempt or in the queue; and with the cursor
-- put back where it stood the database balances as before.
declare
  v_own constant xid8 := pg_current_xact_id();
  v_expected bigint;
  v_accounted bigint;
  v_balanced text;
begin
  perform fn_iu_probe_demand();
  select
    count(*),
    count(*) filter (where
      exists (
        select
        from iu_route_attempt as a
        where a.idempotency_key = e.id::text || ':' || r.route_code || ':iu_outbound_default'
          and a.attempt_no = 1
      )
      or exists (
        select
        from iu_route_delivery as q
        where q.event_id = e.id
          and q.route_code = r.route_code
      )
    )
  into v_expected, v_accounted
  from event_outbox as e
  cross join iu_outbound_route as r
  where e.xact_id = v_own
    and e.event_type = 'delivery_probe'
    and r.event_type = 'delivery_probe';
  update iu_route_worker_cursor
  set
    cursor_epoch = stood.cursor_epoch,
    cursor_xact_id = stood.cursor_xact_id,
    cursor_created_at = stood.cursor_created_at,
    cursor_event_id = stood.cursor_event_id
  from pg_temp.iu_probe_cursor as stood
  where iu_route_worker_cursor.cursor_code = stood.cursor_code;
  v_balanced := fn_iu_conservation() ->> 'balanced';

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'V14 conservation',
    case when v_expected = 24 and v_accounted = v_expected and v_balanced = 'true' then 'pass' else 'fail' end,
    format('%s events at routes, %s accounted for; balanced: %s', v_expected, v_accounted, v_balanced)
  );
end
$$;

select check_id, verdict, detail
from pg_temp.iu_probe_check
order by check_no;
