-- does:      proves a fresh installation of the worker, I0 to I4, with its gate opened only inside this transaction, which
--            can only be rolled back. The full proof is sandbox/040, once the gate is open for good.
-- called by: macro event-worker, as a probe: REPEATABLE READ, rolled back by the engine whatever happens.
-- locks:     the cursor's row first, then the gate's, to the end.
-- raises:    SL005 at COMMIT, or where a statement is run on its own; 55P03 where the worker is busy, 40001 where a row
--            changed since the snapshot: the whole probe is tried again.

do $$
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
      hint = 'Register the worker first (runtime 060). Nothing was changed.';
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
-- I0 to I3: closed, a run does nothing; open, one event becomes one dry-run attempt, once.
declare
  v_closed jsonb;
  v_event_id uuid;
  v_open jsonb;
  v_again jsonb;
  v_attempt iu_route_attempt;
begin
  perform fn_iu_probe_demand();
  update dot_config set value = 'false' where key = 'iu_core.route_worker_enabled';
  v_closed := fn_iu_route_worker_run('iu_outbound_default', 10);

  update dot_config set value = 'true' where key in ('iu_core.outbound_enabled', 'iu_core.route_worker_enabled');
  update iu_outbound_route
  set enabled = false
  where route_code <> 'iu_version_applied'
    and event_domain = 'iu'
    and event_type = 'version_applied'
    and enabled;
  update iu_outbound_route
  set event_filter = null
  where route_code = 'iu_version_applied'
    and event_filter is not null;
  v_event_id := fn_iu_emit_event('iu', 'version_applied', 'probe', null, '{"probe": true}', 'probe');
  v_open := fn_iu_route_worker_run('iu_outbound_default', 10);
  if v_open ->> 'status' in ('busy', 'gate_closing') then
    raise exception using
      errcode = 'lock_not_available',
      message = format('the probe found the worker %s', v_open ->> 'status'),
      hint = 'Try the whole probe again. Nothing of it is left.';
  end if;
  select * into v_attempt from iu_route_attempt where event_id = v_event_id;
  v_again := fn_iu_route_worker_run('iu_outbound_default', 10);

  insert into pg_temp.iu_probe_check
  values
    (
      'I0 gate closed',
      case when v_closed ->> 'status' = 'worker_gate_closed' and v_closed ->> 'seen' = '0' then 'pass' else 'fail' end,
      format('%s; seen=%s', v_closed ->> 'status', v_closed ->> 'seen')
    ),
    (
      'I1 dry run',
      case
        when v_open ->> 'seen' = '1' and v_open ->> 'attempts_written' = '1'
          and v_attempt.decision = 'dry_run' and not v_attempt.delivered then 'pass'
        else 'fail'
      end,
      format('seen=%s, attempts_written=%s; decision=%s, delivered=%s', v_open ->> 'seen', v_open ->> 'attempts_written',
        coalesce(v_attempt.decision, 'none'), coalesce(v_attempt.delivered::text, 'none'))
    ),
    (
      'I2 once',
      case when v_again ->> 'seen' = '0' then 'pass' else 'fail' end,
      format('second run: seen=%s', v_again ->> 'seen')
    ),
    (
      'I3 seam refuses',
      case when fn_iu_route_seam_fails_closed() then 'pass' else 'fail' end,
      'fn_iu_route_deliver, called for nothing, must raise feature_not_supported'
    );
end
$$;

do $$
-- I4: the outbox stays as it is, whoever asks.
declare
  v_refused text := 'nothing was refused';
begin
  perform fn_iu_probe_demand();
  begin
    delete from event_outbox where event_subject = 'probe';
  exception
    when sqlstate 'SL004' then
      v_refused := 'DELETE was refused with SL004';
  end;

  insert into pg_temp.iu_probe_check
  values ('I4 append-only', case when v_refused ~ 'SL004' then 'pass' else 'fail' end, v_refused);
end
$$;

select check_id, verdict, detail
from pg_temp.iu_probe_check
order by check_id;
