-- does:      proves the replay of dead letters on the installed database, P7 and Z0 to Z8: a route made for this purpose to a
--            function that fails until it is mended, events through the governed emitter, one letter replayed alone, three
--            replayed by a plan with its canary; all of it inside one transaction that can only be rolled back. Figures are
--            those of this transaction, so they hold on a database with history, beside writers and beside a running drain.
-- called by: macro dead-letter-replay, as a probe: REPEATABLE READ, rolled back by the engine whatever happens.
-- locks:     the cursor's row first, then rows of gates and lists, and the runs of replays, all to the end.
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
-- Z0: this transaction has written nothing yet.
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
  create temporary table iu_probe_target (is_mended boolean not null) on commit drop;
  insert into pg_temp.iu_probe_target values (false);
  create temporary table iu_probe_effect (event_ref text not null) on commit drop;
  create temporary table iu_probe_plan (plan_hash text, run jsonb) on commit drop;

  select
    (select count(*) from event_outbox where event_outbox.xact_id = v_own)
      + (select count(*) from iu_route_attempt where iu_route_attempt.xact_id = v_own)
      + (select count(*) from iu_route_dead_letter where iu_route_dead_letter.xact_id = v_own)
      + (select count(*) from iu_replay_plan where iu_replay_plan.xact_id = v_own)
  into v_rows;
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values ('Z0 baseline', case when v_rows = 0 then 'pass' else 'fail' end, format('%s rows of this transaction', v_rows));
end
$$;

do $$
-- A function that a route may call: of a role without the rights of IU Core, which ends with this transaction. It raises
-- until it is mended. The route to it is live, behind gates that are open in here.
declare
  v_role constant text := format('iu_probe_%s_%s',
    (select d.oid from pg_database as d where d.datname = current_database()), pg_current_xact_id());
  v_function constant text := format('%s.fn_iu_probe_target', pg_my_temp_schema()::regnamespace);
begin
  perform fn_iu_probe_demand();
  create function pg_temp.fn_iu_probe_target(p_request jsonb)
    returns jsonb
    language plpgsql
    security definer
    set search_path = pg_catalog
  as $function$
  begin
    if not (select iu_probe_target.is_mended from pg_temp.iu_probe_target) then
      raise exception 'the target of the probe is not mended yet';
    end if;
    insert into pg_temp.iu_probe_effect (event_ref)
    values (p_request ->> 'event_ref');
    return jsonb_build_object('status', 'sent', 'delivered', true);
  end
  $function$;
  execute format('create role %I nologin', v_role);
  if not (select pg_roles.rolsuper from pg_roles where pg_roles.rolname = current_user) then
    execute format('grant %I to %I', v_role, current_user);
  end if;
  execute format('grant insert, select on pg_temp.iu_probe_effect, pg_temp.iu_probe_target to %I', v_role);
  execute format('alter function pg_temp.fn_iu_probe_target(jsonb) owner to %I', v_role);

  update dot_config
  set value = 'true'
  where dot_config.key in ('iu_core.outbound_enabled', 'iu_core.route_worker_enabled', 'iu_core.delivery_enabled');
  update dot_config
  set value = concat_ws(',', nullif(dot_config.value, ''), 'iu_probe.replay')
  where dot_config.key = 'iu_core.delivery_live_routes';
  update dot_config
  set value = concat_ws(',', nullif(dot_config.value, ''), v_function)
  where dot_config.key = 'iu_core.delivery_functions';
  insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
  values ('iu_probe.replay', 'iu', 'replay_probe', 'sql_function', v_function, true, false);
end
$$;

do $$
-- P7: a letter replayed while its route is live fails again, stays open and counts; with the route in dry run it is
-- resolved; all of it under one key, attempt after attempt.
declare
  v_event_id uuid;
  v_run jsonb;
  v_letter uuid;
  v_live jsonb;
  v_between iu_route_dead_letter;
  v_dry jsonb;
  v_after iu_route_dead_letter;
begin
  perform fn_iu_probe_demand();
  v_event_id := fn_iu_emit_event('iu', 'replay_probe', 'probe', null, '{"probe": "P7"}', 'probe');
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  if v_run ->> 'status' in ('busy', 'gate_closing') then
    raise exception using
      errcode = 'lock_not_available',
      message = format('the probe found the worker %s', v_run ->> 'status'),
      hint = 'Try the whole probe again. Nothing of it is left.';
  end if;
  select d.dead_letter_id
  into v_letter
  from iu_route_dead_letter as d
  where d.event_id = v_event_id
    and d.route_code = 'iu_probe.replay';
  if found then
    v_live := fn_iu_route_dead_letter_replay(v_letter, 'probe', 'P7, route live');
    select * into v_between from iu_route_dead_letter where iu_route_dead_letter.dead_letter_id = v_letter;
    update iu_outbound_route set dry_run = true where iu_outbound_route.route_code = 'iu_probe.replay';
    v_dry := fn_iu_route_dead_letter_replay(v_letter, 'probe', 'P7, route in dry run');
    select * into v_after from iu_route_dead_letter where iu_route_dead_letter.dead_letter_id = v_letter;
  end if;

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'P7 replay',
    case
      when v_live @> '{"decision": "failed", "resolved": false, "attempt_no": 2}'
        and v_between.state = 'open' and v_between.replay_count = 1
        and v_dry @> '{"decision": "dry_run", "resolved": true, "attempt_no": 3}'
        and v_after.state = 'resolved' and v_after.replay_count = 2
        and count(*) = 3 and count(distinct a.idempotency_key) = 1 and min(a.idempotency_key) = v_after.idempotency_key
        and called.times = 0 then 'pass'
      else 'fail'
    end,
    format('dry_run=false: decision=%s, resolved=%s, attempt_no=%s, replays counted %s; dry_run=true: decision=%s, '
      || 'resolved=%s, attempt_no=%s; attempts %s under %s key', coalesce(v_live ->> 'decision', 'none'),
      coalesce(v_live ->> 'resolved', 'none'), coalesce(v_live ->> 'attempt_no', 'none'), v_between.replay_count,
      coalesce(v_dry ->> 'decision', 'none'), coalesce(v_dry ->> 'resolved', 'none'),
      coalesce(v_dry ->> 'attempt_no', 'none'), count(*), count(distinct a.idempotency_key))
  from (select count(*) as times from pg_temp.iu_probe_effect) as called
  left join iu_route_attempt as a on a.event_id = v_event_id
  group by called.times;
end
$$;

do $$
-- Z1: three letters are frozen as a plan, one of them first; nothing is tried by planning. Z2: who planned does not
-- approve.
declare
  v_plan jsonb;
  v_refused text := 'accepted';
  v_approved jsonb;
begin
  perform fn_iu_probe_demand();
  update iu_outbound_route set dry_run = false where iu_outbound_route.route_code = 'iu_probe.replay';
  perform fn_iu_emit_event('iu', 'replay_probe', 'probe', null, jsonb_build_object('probe', n), 'probe')
  from generate_series(1, 3) as n;
  perform fn_iu_route_worker_run('iu_outbound_default', 10);
  update pg_temp.iu_probe_target set is_mended = true;
  v_plan := fn_iu_replay_plan(
    '{"routes": ["iu_probe.replay"]}', '{"canary": "each", "ratePerSecond": null}', 'probe', 'Z1');
  insert into pg_temp.iu_probe_plan (plan_hash, run)
  values (
    v_plan ->> 'planHash',
    jsonb_build_object(
      'workflowId', 'probe', 'runId', 'probe ' || pg_current_xact_id(), 'temporalNamespace', 'probe',
      'temporalAddress', 'probe', 'temporalClusterId', 'probe'));

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'Z1 plan',
    case
      when v_plan ->> 'planHash' ~ '^[0-9a-f]{64}$' and v_plan @> '{"letters": 3, "canaryLetters": 1}'
        and jsonb_array_length(v_plan -> 'groups') = 1 and called.times = 0 then 'pass'
      else 'fail'
    end,
    format('letters %s, canary %s, kinds of failure %s; called %s', v_plan ->> 'letters', v_plan ->> 'canaryLetters',
      jsonb_array_length(v_plan -> 'groups'), called.times)
  from (select count(*) as times from pg_temp.iu_probe_effect) as called;

  begin
    perform fn_iu_replay_approve(v_plan ->> 'planHash', 'probe', 'Z2');
  exception
    when sqlstate 'SL010' then
      v_refused := 'refused with SL010';
  end;
  v_approved := fn_iu_replay_approve(v_plan ->> 'planHash', 'a second person', 'Z2');
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'Z2 second person',
    case
      when v_refused = 'refused with SL010' and v_approved ->> 'approvedBy' = 'a second person' then 'pass'
      else 'fail'
    end,
    format('who planned: %s; approved by %s', v_refused, coalesce(v_approved ->> 'approvedBy', 'nobody'))
  );
end
$$;

do $$
-- Z3: with a closed gate the run is held and tries nothing. Z4: with open gates the canary goes first, and alone.
declare
  v_plan_hash constant text := (select iu_probe_plan.plan_hash from pg_temp.iu_probe_plan);
  v_run constant jsonb := (select iu_probe_plan.run from pg_temp.iu_probe_plan);
  v_held jsonb;
  v_step jsonb;
  v_steps integer := 0;
begin
  perform fn_iu_probe_demand();
  perform fn_iu_replay_open(v_plan_hash, v_run, 'probe', 'Z3');
  update dot_config set value = 'false' where dot_config.key = 'iu_core.delivery_enabled';
  v_held := fn_iu_replay_step(v_plan_hash, v_run ->> 'runId', 'canary', 10, 10);
  update dot_config set value = 'true' where dot_config.key = 'iu_core.delivery_enabled';
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'Z3 gate closed',
    case
      when v_held ->> 'status' = 'held' and v_held #>> '{progress,tries}' = '0' and called.times = 0 then 'pass'
      else 'fail'
    end,
    format('%s (%s); tries %s, called %s', v_held ->> 'status', coalesce(v_held #>> '{progress,heldBecause}', 'no reason'),
      v_held #>> '{progress,tries}', called.times)
  from (select count(*) as times from pg_temp.iu_probe_effect) as called;

  loop
    v_step := fn_iu_replay_step(v_plan_hash, v_run ->> 'runId', 'canary', 10, 10);
    v_steps := v_steps + 1;
    exit when v_step ->> 'status' <> 'working' or v_steps = 10;
  end loop;
  perform fn_iu_replay_close(v_plan_hash, v_run ->> 'runId', 'canary_passed', null);
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'Z4 canary',
    case
      when v_step ->> 'status' = 'canary_passed'
        and v_step -> 'progress' @> '{"resolved": 1, "failed": 0, "waiting": 2, "tries": 1, "canary": "passed"}'
        and called.times = 1 then 'pass'
      else 'fail'
    end,
    format('%s; resolved %s, failed %s, waiting %s; called %s', v_step ->> 'status', v_step #>> '{progress,resolved}',
      v_step #>> '{progress,failed}', v_step #>> '{progress,waiting}', called.times)
  from (select count(*) as times from pg_temp.iu_probe_effect) as called;
end
$$;

do $$
-- Z5: a second run of the same plan does the rest, and repeats nothing. Z6: an executed plan is executed once. Z7: each
-- letter has its second attempt under its own key, and no effect came twice.
declare
  v_plan_hash constant text := (select iu_probe_plan.plan_hash from pg_temp.iu_probe_plan);
  v_run constant jsonb := (
    select iu_probe_plan.run || jsonb_build_object('runId', (iu_probe_plan.run ->> 'runId') || ' rest')
    from pg_temp.iu_probe_plan
  );
  v_step jsonb;
  v_steps integer := 0;
  v_closed jsonb;
  v_refused text := 'accepted';
begin
  perform fn_iu_probe_demand();
  perform fn_iu_replay_open(v_plan_hash, v_run, 'probe', 'Z5');
  loop
    v_step := fn_iu_replay_step(v_plan_hash, v_run ->> 'runId', 'end', 10, 10);
    v_steps := v_steps + 1;
    exit when v_step ->> 'status' <> 'working' or v_steps = 10;
  end loop;
  v_closed := fn_iu_replay_close(v_plan_hash, v_run ->> 'runId', 'executed', null);
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'Z5 rest',
    case
      when v_step ->> 'status' = 'executed'
        and v_closed @> '{"state": "executed", "resolved": 3, "failed": 0, "skipped": 0, "waiting": 0, "tries": 3}' then 'pass'
      else 'fail'
    end,
    format('%s; state %s, resolved %s, failed %s, waiting %s, tries %s', v_step ->> 'status', v_closed ->> 'state',
      v_closed ->> 'resolved', v_closed ->> 'failed', v_closed ->> 'waiting', v_closed ->> 'tries')
  );

  begin
    perform fn_iu_replay_open(v_plan_hash, v_run || '{"runId": "probe again"}', 'probe', 'Z6');
  exception
    when sqlstate 'SL010' then
      v_refused := 'refused with SL010';
  end;
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'Z6 executed once',
    case when v_refused = 'refused with SL010' then 'pass' else 'fail' end,
    format('a further run: %s', v_refused)
  );

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'Z7 effects once',
    case
      when count(*) = 3 and bool_and(d.state = 'resolved' and a.status = 'sent' and a.delivered and a.attempt_no = 2
        and newer.attempts = 0) and called.times = 3 and called.events = 3 then 'pass'
      else 'fail'
    end,
    format('letters %s, resolved by attempt 2: %s; called %s times for %s events', count(*),
      count(*) filter (where d.state = 'resolved' and a.status = 'sent'), called.times, called.events)
  from (
    select count(*) as times, count(distinct iu_probe_effect.event_ref) as events
    from pg_temp.iu_probe_effect
  ) as called
  left join iu_replay_letter as l on l.plan_hash = v_plan_hash
  left join iu_route_dead_letter as d on d.dead_letter_id = l.dead_letter_id
  left join iu_route_attempt as a on a.idempotency_key = d.idempotency_key and a.attempt_no = 2
  left join lateral (
    select count(*) as attempts
    from iu_route_attempt as later
    where later.idempotency_key = d.idempotency_key
      and later.attempt_no > 2
  ) as newer on true
  group by called.times, called.events;
end
$$;

do $$
-- Z8: nothing was lost.
declare
  v_proof jsonb;
begin
  perform fn_iu_probe_demand();
  v_proof := fn_iu_conservation();
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'Z8 conservation',
    case when v_proof ->> 'balanced' = 'true' then 'pass' else 'fail' end,
    format('balanced: %s', v_proof ->> 'balanced')
  );
end
$$;

select check_id, verdict, detail
from pg_temp.iu_probe_check
order by check_no;
