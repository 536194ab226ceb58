-- does:      installs the run of the route worker.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_worker_run(p_cursor_code text, p_limit integer)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: claims the next events of a cursor in commit order, routes them, records the attempts and moves the cursor, in
--       the caller's transaction; then lets held events go whose turn has come. Answers ran, or did nothing: gate_closing,
--       master_gate_closed, worker_gate_closed, busy, paused.
-- called by: drain, runtime 090, the probe.
-- locks: shared side of the worker's advisory lock and the cursor's row, both by try, until the transaction ends.
-- raises: SL008 on a standby, for a bad limit, an unknown cursor, or under REPEATABLE READ outside a probe; SL007 for a
--         cursor of another cluster, or one that is ahead of this cluster.
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_max_batch integer;
  v_status text;
  v_claim record;
  v_cursor iu_route_worker_cursor;
  v_limit integer := p_limit;
  v_seen integer := 0;
  v_attempts integer := 0;
  v_dead_lettered integer := 0;
  v_pass record;
  v_horizon xid8;
  v_singly record;
  v_released record;
  v_result jsonb;
begin
  if not pg_is_in_recovery() then
    v_max_batch := fn_iu_config_positive_int('iu_core.route_worker_max_batch');
    if p_limit is null or p_limit < 1 or p_limit > v_max_batch then
      raise exception using
        errcode = 'SL008',
        message = format('a run was asked for %s events', coalesce(p_limit::text, 'null')),
        hint = format('1 to %s are allowed (dot_config iu_core.route_worker_max_batch). Nothing was changed.', v_max_batch);
    end if;
  end if;
  v_status := fn_iu_worker_enter('a run');
  if v_status is not null then
    return fn_iu_worker_no_op(v_status);
  end if;
  v_claim := fn_iu_route_worker_claim(p_cursor_code);
  if v_claim.status is not null then
    return fn_iu_worker_no_op(v_claim.status);
  end if;
  v_cursor := v_claim.cursor_row;
  if v_cursor.safety_lag > '0' then
    v_limit := fn_iu_route_worker_settled(v_cursor, v_claim.ceiling, p_limit);
  end if;

  begin
    v_pass := fn_iu_route_worker_pass(
      p_cursor_code, v_cursor.cursor_epoch, v_cursor.cursor_xact_id, v_cursor.cursor_created_at, v_cursor.cursor_event_id,
      v_claim.ceiling, v_limit);
    v_seen := v_pass.seen;
    v_horizon := v_pass.horizon;
    v_attempts := v_pass.attempts;
    v_cursor.cursor_epoch := v_pass.epoch;
    v_cursor.cursor_xact_id := v_pass.xact_id;
    v_cursor.cursor_created_at := v_pass.created_at;
    v_cursor.cursor_event_id := v_pass.event_id;
  exception
    when others then
      -- Nothing of the set is left. What a retry may cure is passed on; anything else is looked for event by event.
      if fn_iu_passes_on(sqlstate) then
        raise;
      end if;
      v_singly := fn_iu_route_worker_singly(p_cursor_code, v_limit);
      v_seen := v_singly.seen;
      v_attempts := v_singly.attempts;
      v_dead_lettered := v_singly.dead_lettered;
      v_cursor := (fn_iu_route_worker_claim(p_cursor_code)).cursor_row;
  end;

  if v_cursor.cursor_created_at = '-infinity' then
    v_cursor.cursor_epoch := null;
    v_cursor.cursor_xact_id := null;
    v_cursor.cursor_created_at := null;
    v_cursor.cursor_event_id := null;
  end if;
  -- A run that found nothing, right after another that found nothing, has no news: it leaves the row alone, so that idle
  -- polling writes nothing and a probe's snapshot stays current.
  v_result := jsonb_build_object(
    'status', 'ran',
    'seen', v_seen,
    'attempts_written', v_attempts,
    'dead_lettered', v_dead_lettered,
    'cursor_event_id', v_cursor.cursor_event_id,
    'cursor_created_at', v_cursor.cursor_created_at
  );
  if v_seen > 0
    or v_cursor.last_run_at is null
    or v_cursor.last_run_at < v_started_at - interval '1 second'
    or v_cursor.last_run_summary ->> 'seen' <> '0'
  then
    update iu_route_worker_cursor
    set
      cursor_epoch = v_cursor.cursor_epoch,
      cursor_xact_id = v_cursor.cursor_xact_id,
      cursor_created_at = v_cursor.cursor_created_at,
      cursor_event_id = v_cursor.cursor_event_id,
      last_run_at = v_started_at,
      last_run_summary = v_result || jsonb_build_object('horizon', v_horizon, 'limit', p_limit)
    where iu_route_worker_cursor.cursor_code = p_cursor_code;
  end if;

  if exists (select from iu_route_held where iu_route_held.worker_code = p_cursor_code) then
    v_released := fn_iu_route_held_release(p_cursor_code, p_limit);
    v_result := v_result || jsonb_build_object(
      'attempts_written', v_attempts + v_released.attempts,
      'dead_lettered', v_dead_lettered + v_released.dead_lettered);
  end if;
  return v_result;
end
$$;
comment on function fn_iu_route_worker_run(text, integer) is
  'Layer worker. One run: claims up to p_limit events in commit order, records the attempts, moves the cursor; returns what it did.';

alter function fn_iu_route_worker_run(text, integer) owner to iu_core_owner;

revoke all on function fn_iu_route_worker_run(text, integer) from public;
grant execute on function fn_iu_route_worker_run(text, integer) to iu_core_worker, iu_core_operator;
