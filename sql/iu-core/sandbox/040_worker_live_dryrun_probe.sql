-- does:      proves the worker on the installed database, P0 to P9, with one event through the governed emitter; all of it
--            inside one transaction that can only be rolled back. Figures are those of this transaction, so they hold
--            on a database with history, beside writers and beside a running drain.
-- called by: macro worker-live-dry-run, as a probe: REPEATABLE READ, rolled back by the engine whatever happens.
-- locks:     the cursor's row first, then gate rows; at the end ACCESS EXCLUSIVE on iu_outbound_route (P6), all to the end.
-- raises:    SL005 at COMMIT, or where a statement is run on its own; 55P03 where the worker is busy, 40001 where a row
--            changed since the snapshot: the whole probe is tried again.

do $$
-- P0 needs the cursor first: a drain holds it only for a moment, and finds it busy from here on.
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
begin
  perform fn_iu_probe_demand();
  create temporary table iu_probe_check (
    check_id text primary key,
    verdict text not null,
    detail text not null
  ) on commit drop;
end
$$;

do $$
-- P0: this transaction has written nothing yet; what was there before is history.
declare
  v_own constant xid8 := pg_current_xact_id();
  v_events bigint;
  v_attempts bigint;
  v_dead_letters bigint;
  v_events_before bigint;
  v_attempts_before bigint;
  v_dead_letters_before bigint;
begin
  perform fn_iu_probe_demand();
  select count(*) filter (where xact_id = v_own), count(*) filter (where xact_id <> v_own)
  into v_events, v_events_before
  from event_outbox
  where event_domain = 'iu';
  select count(*) filter (where xact_id = v_own), count(*) filter (where xact_id <> v_own)
  into v_attempts, v_attempts_before
  from iu_route_attempt;
  select count(*) filter (where xact_id = v_own), count(*) filter (where xact_id <> v_own)
  into v_dead_letters, v_dead_letters_before
  from iu_route_dead_letter;

  insert into pg_temp.iu_probe_check
  values (
    'P0',
    case when v_events = 0 and v_attempts = 0 and v_dead_letters = 0 then 'pass' else 'fail' end,
    format('iu_events %s / attempts %s / dead_letters %s', v_events, v_attempts, v_dead_letters)
      || case
        when v_events_before + v_attempts_before + v_dead_letters_before > 0 then format(
          ' (history before it: %s / %s / %s)', v_events_before, v_attempts_before, v_dead_letters_before)
        else ''
      end
  );
end
$$;

do $$
-- P1: with the worker gate closed a run is a clean no-op.
declare
  v_run jsonb;
  v_attempts bigint;
begin
  perform fn_iu_probe_demand();
  update dot_config set value = 'false' where key = 'iu_core.route_worker_enabled';
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  select count(*) into v_attempts from iu_route_attempt where xact_id = pg_current_xact_id();
  update dot_config set value = 'true' where key in ('iu_core.route_worker_enabled', 'iu_core.outbound_enabled');

  insert into pg_temp.iu_probe_check
  values (
    'P1',
    case
      when v_run ->> 'status' = 'worker_gate_closed' and v_run ->> 'seen' = '0' and v_run ->> 'attempts_written' = '0'
        and v_attempts = 0 then 'pass'
      else 'fail'
    end,
    format('%s; seen=%s, attempts_written=%s', v_run ->> 'status', v_run ->> 'seen', v_run ->> 'attempts_written')
  );
end
$$;

do $$
-- P2: one event through the governed emitter becomes one dry-run attempt. Routes of others stay out of it.
declare
  v_event_id uuid;
  v_run jsonb;
  v_attempt iu_route_attempt;
begin
  perform fn_iu_probe_demand();
  update iu_outbound_route
  set event_filter = null
  where route_code = 'iu_version_applied'
    and event_filter is not null;
  update iu_outbound_route
  set enabled = false
  where route_code <> 'iu_version_applied'
    and event_domain = 'iu'
    and event_type = 'version_applied'
    and enabled;

  v_event_id := fn_iu_emit_event('iu', 'version_applied', 'probe', null, '{"probe": true}', 'probe');
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  if v_run ->> 'status' in ('busy', 'gate_closing') then
    raise exception using
      errcode = 'lock_not_available',
      message = format('the probe found the worker %s', v_run ->> 'status'),
      hint = 'Try the whole probe again. Nothing of it is left.';
  end if;
  select * into v_attempt from iu_route_attempt where event_id = v_event_id;

  insert into pg_temp.iu_probe_check
  values (
    'P2',
    case
      when v_run ->> 'status' = 'ran' and v_run ->> 'seen' = '1' and v_run ->> 'attempts_written' = '1'
        and v_attempt.status = 'dry_run' and v_attempt.decision = 'dry_run' and not v_attempt.delivered then 'pass'
      else 'fail'
    end,
    format('seen=%s, attempts_written=%s; status=%s, decision=%s, delivered=%s', v_run ->> 'seen',
      v_run ->> 'attempts_written', coalesce(v_attempt.status, 'none'), coalesce(v_attempt.decision, 'none'),
      coalesce(v_attempt.delivered::text, 'none'))
  );
end
$$;

do $$
-- P3: the cursor is past the event, so a second run sees nothing.
declare
  v_run jsonb;
  v_attempts bigint;
begin
  perform fn_iu_probe_demand();
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  select count(*) into v_attempts from iu_route_attempt where xact_id = pg_current_xact_id();

  insert into pg_temp.iu_probe_check
  values (
    'P3',
    case when v_run ->> 'status' = 'ran' and v_run ->> 'seen' = '0' and v_attempts = 1 then 'pass' else 'fail' end,
    format('second run: seen=%s, attempts still %s', v_run ->> 'seen', v_attempts)
  );
end
$$;

do $$
-- P4: with the cursor reset the event is claimed again, and its key keeps a second attempt away.
declare
  v_run jsonb;
  v_attempts bigint;
begin
  perform fn_iu_probe_demand();
  update iu_route_worker_cursor
  set cursor_epoch = null, cursor_xact_id = null, cursor_created_at = null, cursor_event_id = null
  where cursor_code = 'iu_outbound_default';
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  select count(*) into v_attempts from iu_route_attempt where xact_id = pg_current_xact_id();

  insert into pg_temp.iu_probe_check
  values (
    'P4',
    case
      when v_run ->> 'seen' = '1' and v_run ->> 'attempts_written' = '0' and v_attempts = 1 then 'pass'
      else 'fail'
    end,
    format('cursor reset, claimed again: seen=%s, attempts still %s', v_run ->> 'seen', v_attempts)
  );
end
$$;

do $$
-- P5: health tells of the same.
declare
  v_health jsonb;
begin
  perform fn_iu_probe_demand();
  v_health := fn_iu_route_worker_health();

  insert into pg_temp.iu_probe_check
  values (
    'P5',
    case
      when v_health @> '{
        "worker_gate_open": true, "master_gate_open": true, "attempts_in_audit": 1, "dead_letter_open": 0, "healthy": true}'
        then 'pass'
      else 'fail'
    end,
    format('worker_gate_open=%s, master_gate_open=%s, attempts_in_audit=%s, dead_letter_open=%s, healthy=%s%s',
      v_health ->> 'worker_gate_open', v_health ->> 'master_gate_open', v_health ->> 'attempts_in_audit',
      v_health ->> 'dead_letter_open', v_health ->> 'healthy',
      case when v_health ->> 'healthy' = 'true' then '' else ' ' || (v_health ->> 'reasons') end)
  );
end
$$;

do $$
-- P8: with the master gate closed a run is a clean no-op. It stands before P6, whose lock is held to the end.
declare
  v_run jsonb;
  v_attempts bigint;
begin
  perform fn_iu_probe_demand();
  update dot_config set value = 'false' where key = 'iu_core.outbound_enabled';
  v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
  select count(*) into v_attempts from iu_route_attempt where xact_id = pg_current_xact_id();
  update dot_config set value = 'true' where key = 'iu_core.outbound_enabled';

  insert into pg_temp.iu_probe_check
  values (
    'P8',
    case
      when v_run ->> 'status' = 'master_gate_closed' and v_run ->> 'seen' = '0' and v_run ->> 'attempts_written' = '0'
        and v_attempts = 1 then 'pass'
      else 'fail'
    end,
    format('%s; seen=%s, attempts_written=%s', v_run ->> 'status', v_run ->> 'seen', v_run ->> 'attempts_written')
  );
end
$$;

do $$
-- P6: even with every guard of the configuration out of the way, the seam refuses a target that nobody has built, and the
-- refusal is a dead letter.
declare
  v_guard text;
  v_run jsonb;
  v_failed bigint;
  v_sent bigint;
  v_failure_code text;
begin
  perform fn_iu_probe_demand();
  select k.conname
  into v_guard
  from pg_constraint as k
  where k.conrelid = 'iu_outbound_route'::regclass
    and k.conname = 'iu_outbound_route_safe_chk'
    and k.contype = 'c';
  if found then
    alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk;
  else
    select t.tgname
    into v_guard
    from pg_trigger as t
    where t.tgrelid = 'iu_outbound_route'::regclass
      and t.tgname = 'trg_iu_outbound_route_safe_guard'
      and t.tgenabled = 'A';
    if found then
      alter table iu_outbound_route disable trigger trg_iu_outbound_route_safe_guard;
    end if;
  end if;

  insert into dot_config (key, value)
  values ('iu_core.delivery_enabled', 'true'), ('iu_core.delivery_live_routes', 'iu_version_applied')
  on conflict (key) do update
  set value = excluded.value;
  update iu_outbound_route
  set
    dry_run = false,
    target_kind = 'sql_function',
    target_ref = 'iu_probe.unbuilt'
  where route_code = 'iu_version_applied';
  insert into iu_route_worker_cursor (cursor_code) values ('iu_outbound_probe');
  v_run := fn_iu_route_worker_run('iu_outbound_probe', 10);

  select count(*) filter (where decision = 'failed'), count(*) filter (where status = 'sent' or delivered)
  into v_failed, v_sent
  from iu_route_attempt
  where xact_id = pg_current_xact_id();
  select string_agg(distinct failure_code, ', ')
  into v_failure_code
  from iu_route_dead_letter
  where xact_id = pg_current_xact_id();

  insert into pg_temp.iu_probe_check
  values (
    'P6',
    case
      when v_guard is not null and v_run ->> 'dead_lettered' = '1' and v_failed = 1 and v_sent = 0
        and v_failure_code = 'worker_process_error' then 'pass'
      else 'fail'
    end,
    format('%s dropped, dry_run=false, fresh worker: dead_lettered=%s, failed_attempts=%s, delivered_sent=%s, failure_code=%s',
      coalesce(v_guard, 'no guard'), v_run ->> 'dead_lettered', v_failed, v_sent, coalesce(v_failure_code, 'none'))
  );
end
$$;

do $$
-- P7: the dead letter fails again while the route is live, and is resolved once the route is a dry run.
declare
  v_letter uuid;
  v_live jsonb;
  v_dry jsonb;
  v_letters bigint;
begin
  perform fn_iu_probe_demand();
  select dead_letter_id
  into v_letter
  from iu_route_dead_letter
  where xact_id = pg_current_xact_id();
  if found then
    v_live := fn_iu_route_dead_letter_replay(v_letter, 'probe', 'P7, route live');
    update iu_outbound_route set dry_run = true where route_code = 'iu_version_applied';
    v_dry := fn_iu_route_dead_letter_replay(v_letter, 'probe', 'P7, route in dry run');
  end if;
  select count(*) into v_letters from iu_route_dead_letter where xact_id = pg_current_xact_id();

  insert into pg_temp.iu_probe_check
  values (
    'P7',
    case
      when v_live @> '{"decision": "failed", "resolved": false, "attempt_no": 2}'
        and v_dry @> '{"decision": "dry_run", "resolved": true, "attempt_no": 3}'
        and v_letters = 1 then 'pass'
      else 'fail'
    end,
    format('dry_run=false: decision=%s, resolved=%s, attempt_no=%s; dry_run=true: decision=%s, resolved=%s, attempt_no=%s',
      coalesce(v_live ->> 'decision', 'none'), coalesce(v_live ->> 'resolved', 'none'),
      coalesce(v_live ->> 'attempt_no', 'none'), coalesce(v_dry ->> 'decision', 'none'),
      coalesce(v_dry ->> 'resolved', 'none'), coalesce(v_dry ->> 'attempt_no', 'none'))
  );
end
$$;

do $$
-- P9: everything this transaction wrote; none of it stays.
declare
  v_own constant xid8 := pg_current_xact_id();
  v_events bigint;
  v_attempts bigint;
  v_dead_letters bigint;
begin
  perform fn_iu_probe_demand();
  select count(*) into v_events from event_outbox where event_domain = 'iu' and xact_id = v_own;
  select count(*) into v_attempts from iu_route_attempt where xact_id = v_own;
  select count(*) into v_dead_letters from iu_route_dead_letter where xact_id = v_own;

  insert into pg_temp.iu_probe_check
  values (
    'P9',
    case when v_events = 1 and v_attempts = 4 and v_dead_letters = 1 then 'pass' else 'fail' end,
    format('iu_events %s / attempts %s / dead_letters %s', v_events, v_attempts, v_dead_letters)
  );
end
$$;

select check_id, verdict, detail
from pg_temp.iu_probe_check
order by check_id;
