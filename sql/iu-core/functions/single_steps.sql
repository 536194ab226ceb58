-- does:      installs a run in single steps, for a caller that times each event, and for a batch that raised.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_worker_open(p_cursor_code text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: begins a run in single steps: open, or why nothing can be done now, with the statuses of a run.
-- called by: a drain whose batch ran into its statement_timeout, once a transaction, before the other steps.
-- locks: as a run.
-- raises: as a run.
declare
  v_status text := fn_iu_worker_enter('a run');
begin
  if v_status is null then
    v_status := coalesce((fn_iu_route_worker_claim(p_cursor_code)).status, 'open');
  end if;
  return jsonb_build_object('status', v_status);
end
$$;
comment on function fn_iu_route_worker_open(text) is
  'Layer worker. Begins a run in single steps, for a caller that times each event: status open, or that of a no-op.';

create function fn_iu_route_worker_next(p_cursor_code text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
-- does: the event that a cursor comes to next, and the enabled routes of its domain and type; null where none is left.
-- called by: a run in single steps.
-- locks: none beyond those of fn_iu_route_worker_open.
-- raises: as fn_iu_route_worker_claim.
declare
  v_claim record := fn_iu_route_worker_claim(p_cursor_code);
  v_cursor iu_route_worker_cursor := v_claim.cursor_row;
begin
  if v_cursor.safety_lag > '0' and fn_iu_route_worker_settled(v_cursor, v_claim.ceiling, 1) = 0 then
    return null;
  end if;
  return (
    select jsonb_build_object(
      'event_id', event_outbox.id,
      'routes', coalesce((
        select jsonb_agg(iu_outbound_route.route_code order by iu_outbound_route.route_code)
        from iu_outbound_route
        where iu_outbound_route.enabled
          and iu_outbound_route.event_domain = event_outbox.event_domain
          and iu_outbound_route.event_type = event_outbox.event_type
      ), '[]'))
    from event_outbox
    where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
        v_cursor.cursor_epoch, v_cursor.cursor_xact_id, v_cursor.cursor_created_at, v_cursor.cursor_event_id)
      and (event_outbox.epoch, event_outbox.xact_id) < (
        (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch),
        coalesce(v_claim.ceiling, pg_snapshot_xmin(pg_current_snapshot())))
    order by event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
    limit 1
  );
end
$$;
comment on function fn_iu_route_worker_next(text) is
  'Layer worker. The event a cursor comes to next, with the routes of its domain and type; null where none is left.';

create function fn_iu_route_worker_step(p_cursor_code text, p_event_id uuid, p_route_code text)
  returns integer
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: decides about the next event of a cursor, for all routes (null) or for one; answers how many attempts it wrote.
-- called by: a run in single steps, between a savepoint and its release.
-- locks: the new rows.
-- raises: SL008 where that event is not the next; otherwise whatever a filter or the seam raises.
declare
  v_claim record := fn_iu_route_worker_claim(p_cursor_code);
  v_cursor iu_route_worker_cursor := v_claim.cursor_row;
  v_pass record;
begin
  v_pass := fn_iu_route_worker_pass(
    p_cursor_code, v_cursor.cursor_epoch, v_cursor.cursor_xact_id, v_cursor.cursor_created_at, v_cursor.cursor_event_id,
    v_claim.ceiling, 1, p_route_code);
  if v_pass.seen <> 1 or v_pass.event_id is distinct from p_event_id then
    raise exception using
      errcode = 'SL008',
      message = format('event %s is not the next of cursor %s', coalesce(p_event_id::text, 'null'), p_cursor_code),
      hint = 'Ask fn_iu_route_worker_next in this transaction. Nothing was changed.';
  end if;
  return v_pass.attempts;
end
$$;
comment on function fn_iu_route_worker_step(text, uuid, text) is
  'Layer worker. Decides about the next event of a cursor, for all routes or for one; returns how many attempts it wrote.';

create function fn_iu_route_worker_fail(
  p_cursor_code text,
  p_event_id uuid,
  p_route_code text,
  p_sqlstate text,
  p_message text
)
  returns void
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: records that the next event of a cursor could not be decided, for a route or (null) as a whole: a failed attempt and
--       its dead letter, failure_code worker_process_error.
-- called by: a run in single steps, after it went back to its savepoint.
-- locks: the new rows.
-- raises: SL008 where that event is not the next.
begin
  if fn_iu_route_worker_next(p_cursor_code) ->> 'event_id' is distinct from p_event_id::text then
    raise exception using
      errcode = 'SL008',
      message = format('event %s is not the next of cursor %s', coalesce(p_event_id::text, 'null'), p_cursor_code),
      hint = 'Ask fn_iu_route_worker_next in this transaction. Nothing was changed.';
  end if;
  perform fn_iu_route_record_failure(
    p_cursor_code, p_event_id, p_route_code, 1, 'worker_process_error', p_sqlstate, p_message);
end
$$;
comment on function fn_iu_route_worker_fail(text, uuid, text, text, text) is
  'Layer worker. Records the next event of a cursor as failed, with its dead letter.';

create function fn_iu_route_worker_advance(p_cursor_code text, p_event_id uuid)
  returns void
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: moves a cursor past its next event, once something is recorded about it.
-- called by: a run in single steps.
-- locks: the cursor's row.
-- raises: SL008 where that event is not the next, or where nothing is recorded about it.
begin
  if fn_iu_route_worker_next(p_cursor_code) ->> 'event_id' is distinct from p_event_id::text
    or not exists (
      select
      from iu_route_attempt
      where iu_route_attempt.idempotency_key >= p_event_id::text || ':'
        and iu_route_attempt.idempotency_key < p_event_id::text || ';'
        and iu_route_attempt.worker_code = p_cursor_code
    )
    and not exists (
      select
      from iu_route_held
      where iu_route_held.event_id = p_event_id
        and iu_route_held.worker_code = p_cursor_code
    )
    and not exists (
      select
      from iu_route_delivery
      where iu_route_delivery.event_id = p_event_id
        and iu_route_delivery.worker_code = p_cursor_code
    )
  then
    raise exception using
      errcode = 'SL008',
      message = format('cursor %s cannot move past event %s: it is not the next, or nothing is recorded about it',
        p_cursor_code, coalesce(p_event_id::text, 'null')),
      hint = 'Decide about the event, or record its failure. Nothing was changed.';
  end if;
  update iu_route_worker_cursor
  set
    cursor_epoch = event_outbox.epoch,
    cursor_xact_id = event_outbox.xact_id,
    cursor_created_at = event_outbox.created_at,
    cursor_event_id = event_outbox.id,
    last_run_at = clock_timestamp(),
    last_run_summary = jsonb_build_object('status', 'ran', 'seen', 1, 'by', 'single steps')
  from event_outbox
  where iu_route_worker_cursor.cursor_code = p_cursor_code
    and event_outbox.id = p_event_id;
end
$$;
comment on function fn_iu_route_worker_advance(text, uuid) is
  'Layer worker. Moves a cursor past its next event; refuses while nothing is recorded about that event.';

create function fn_iu_route_worker_singly(p_cursor_code text, p_limit integer, out seen integer, out attempts integer, out dead_lettered integer)
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: the next events one by one, after their batch raised: an event that raises is tried route by route, and the route
--       that raises is recorded as failed, so that one event never blocks the others.
-- called by: fn_iu_route_worker_run.
-- locks: the new rows; the caller holds the cursor.
-- raises: what another try may cure, and nothing else.
declare
  v_next jsonb;
  v_event_id uuid;
  v_route_code text;
  v_letters integer;
begin
  seen := 0;
  attempts := 0;
  dead_lettered := 0;
  while seen < p_limit loop
    v_next := fn_iu_route_worker_next(p_cursor_code);
    exit when v_next is null;
    v_event_id := (v_next ->> 'event_id')::uuid;
    begin
      attempts := attempts + fn_iu_route_worker_step(p_cursor_code, v_event_id, null);
    exception
      when others then
        if fn_iu_passes_on(sqlstate) then
          raise;
        end if;
        v_letters := 0;
        for v_route_code in select jsonb_array_elements_text(v_next -> 'routes') loop
          begin
            attempts := attempts + fn_iu_route_worker_step(p_cursor_code, v_event_id, v_route_code);
          exception
            when others then
              if fn_iu_passes_on(sqlstate) then
                raise;
              end if;
              perform fn_iu_route_worker_fail(p_cursor_code, v_event_id, v_route_code, sqlstate, sqlerrm);
              v_letters := v_letters + 1;
          end;
        end loop;
        if v_letters = 0 then
          perform fn_iu_route_worker_fail(p_cursor_code, v_event_id, null, sqlstate, sqlerrm);
          v_letters := 1;
        end if;
        attempts := attempts + v_letters;
        dead_lettered := dead_lettered + v_letters;
    end;
    perform fn_iu_route_worker_advance(p_cursor_code, v_event_id);
    seen := seen + 1;
  end loop;
end
$$;
comment on function fn_iu_route_worker_singly(text, integer) is
  'Layer worker. The next events one by one, after their batch raised; the culprits become dead letters.';

alter function fn_iu_route_worker_open(text) owner to iu_core_owner;
alter function fn_iu_route_worker_next(text) owner to iu_core_owner;
alter function fn_iu_route_worker_step(text, uuid, text) owner to iu_core_owner;
alter function fn_iu_route_worker_fail(text, uuid, text, text, text) owner to iu_core_owner;
alter function fn_iu_route_worker_advance(text, uuid) owner to iu_core_owner;
alter function fn_iu_route_worker_singly(text, integer) owner to iu_core_owner;

revoke all on function fn_iu_route_worker_open(text) from public;
revoke all on function fn_iu_route_worker_next(text) from public;
revoke all on function fn_iu_route_worker_step(text, uuid, text) from public;
revoke all on function fn_iu_route_worker_fail(text, uuid, text, text, text) from public;
revoke all on function fn_iu_route_worker_advance(text, uuid) from public;
revoke all on function fn_iu_route_worker_singly(text, integer) from public;
grant execute on function fn_iu_route_worker_open(text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_next(text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_step(text, uuid, text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_fail(text, uuid, text, text, text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_advance(text, uuid) to iu_core_worker, iu_core_operator;
