-- does:      installs the run of the route worker, and the same in single steps for a caller that times each event.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_worker_no_op(p_status text)
  returns jsonb
  language sql
  immutable
  set search_path from current
as $$
-- does: the answer of a run that did nothing; called by: run; locks: none; raises: nothing.
select jsonb_build_object(
  'status', p_status,
  'seen', 0,
  'attempts_written', 0,
  'dead_lettered', 0,
  'cursor_event_id', null,
  'cursor_created_at', null
)
$$;
comment on function fn_iu_worker_no_op(text) is 'Layer worker. The answer of a run that did nothing, with the reason as its status.';

create function fn_iu_route_worker_claim(p_cursor_code text, out cursor_row iu_route_worker_cursor, out ceiling xid8, out status text)
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: takes the cursor for this transaction and says where it stands; status busy where another one has it. In a probe it
--       stands at the probe's own transaction, and the ceiling is right above it; otherwise the ceiling is null.
-- called by: fn_iu_route_worker_run, fn_iu_route_worker_open.
-- locks: the cursor's row, by try, until the transaction ends.
-- raises: SL008 for an unknown cursor; SL007 for a cursor of another cluster, or one that is ahead of this cluster.
declare
  v_probe constant boolean := fn_iu_in_probe();
  v_own constant xid8 := pg_current_xact_id_if_assigned();
  v_epoch integer;
  v_epoch_system bigint;
begin
  select iu_route_worker_cursor.*
  into cursor_row
  from iu_route_worker_cursor
  where iu_route_worker_cursor.cursor_code = p_cursor_code
  for update skip locked;
  if not found then
    if exists (select from iu_route_worker_cursor where iu_route_worker_cursor.cursor_code = p_cursor_code) then
      status := 'busy';
      return;
    end if;
    raise exception using
      errcode = 'SL008',
      message = format('there is no cursor %s', coalesce(p_cursor_code, 'null')),
      hint = 'Register it first (runtime 060 registers iu_outbound_default). Nothing was changed.';
  end if;

  select iu_outbox_epoch.epoch, iu_outbox_epoch.system_identifier
  into v_epoch, v_epoch_system
  from iu_outbox_epoch
  order by iu_outbox_epoch.epoch desc
  limit 1;
  if cursor_row.system_identifier <> fn_iu_system_identifier()
    or v_epoch_system <> fn_iu_system_identifier()
    or cursor_row.cursor_epoch > coalesce(v_epoch, 0)
  then
    raise exception using
      errcode = 'SL007',
      message = format('cursor %s counts transactions of another cluster', p_cursor_code),
      hint = 'The database was restored. Run fn_iu_outbox_rebase once it is the one that counts. Nothing was changed.';
  end if;
  if not v_probe and cursor_row.cursor_epoch = v_epoch and cursor_row.cursor_xact_id >= pg_snapshot_xmax(pg_current_snapshot()) then
    raise exception using
      errcode = 'SL007',
      message = format('cursor %s stands at transaction %s, which this cluster has not reached yet', p_cursor_code,
        cursor_row.cursor_xact_id),
      hint = 'Every new event would count as decided. Set the keyset back to the last event with an attempt. Nothing was changed.';
  end if;

  if v_probe then
    ceiling := (v_own::text::numeric + 1)::text::xid8;
    if cursor_row.cursor_xact_id is null or cursor_row.cursor_xact_id < v_own or cursor_row.cursor_epoch < v_epoch then
      cursor_row.cursor_epoch := v_epoch;
      cursor_row.cursor_xact_id := v_own;
      cursor_row.cursor_created_at := '-infinity';
      cursor_row.cursor_event_id := '00000000-0000-0000-0000-000000000000';
    end if;
  end if;
  if cursor_row.cursor_event_id is null then
    cursor_row.cursor_epoch := 0;
    cursor_row.cursor_xact_id := '0';
    cursor_row.cursor_created_at := '-infinity';
    cursor_row.cursor_event_id := '00000000-0000-0000-0000-000000000000';
  end if;
end
$$;
comment on function fn_iu_route_worker_claim(text) is
  'Layer worker. Takes a cursor for this transaction: its row with the keyset to go on from, the ceiling of a probe, or busy.';

create function fn_iu_route_worker_settled(p_cursor iu_route_worker_cursor, p_ceiling xid8, p_limit integer)
  returns integer
  language sql
  volatile
  set search_path from current
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
-- does: how many of the next events are older than the cursor's safety lag, counted from the first without a gap.
-- called by: fn_iu_route_worker_run, where a lag is set; locks: none; raises: nothing.
select count(*)::integer
from (
  select bool_and(ahead.created_at <= clock_timestamp() - p_cursor.safety_lag) over (
      order by ahead.epoch, ahead.xact_id, ahead.created_at, ahead.id
      rows unbounded preceding
    ) as old_enough
  from (
    select event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
    from event_outbox
    where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
        p_cursor.cursor_epoch, p_cursor.cursor_xact_id, p_cursor.cursor_created_at, p_cursor.cursor_event_id)
      and (event_outbox.epoch, event_outbox.xact_id) < (
        (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch),
        coalesce(p_ceiling, pg_snapshot_xmin(pg_current_snapshot())))
    order by event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
    limit p_limit
  ) as ahead
) as judged
where judged.old_enough
$$;
comment on function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer) is
  'Layer worker. How many of the next events are older than the safety lag, without a gap.';

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

create function fn_iu_route_held_release(p_worker_code text, p_limit integer, out attempts integer, out dead_lettered integer)
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: decides about held events whose turn has come, subject by subject in order, until none is left or the limit is
--       reached. On a dry-run route the followers of an event go with it; on a live one each waits for the outcome.
-- called by: fn_iu_route_worker_run.
-- locks: the held rows; the caller holds the cursor.
-- raises: what another try may cure, and nothing else.
declare
  v_first record;
  v_follower record;
  v_event_ids uuid[];
  v_detail jsonb;
  v_freed integer;
begin
  attempts := 0;
  dead_lettered := 0;
  loop
    v_freed := 0;
    for v_first in
      with recursive
        waiting as (
          (
            select iu_route_held.*
            from iu_route_held
            where iu_route_held.worker_code = p_worker_code
            order by iu_route_held.route_code, iu_route_held.event_domain, iu_route_held.event_subject, iu_route_held.subject_seq
            limit 1
          )
          union all
          select next_subject.*
          from waiting
          cross join lateral (
            select iu_route_held.*
            from iu_route_held
            where iu_route_held.worker_code = p_worker_code
              and (iu_route_held.route_code, iu_route_held.event_domain, iu_route_held.event_subject) > (
                waiting.route_code, waiting.event_domain, waiting.event_subject)
            order by iu_route_held.route_code, iu_route_held.event_domain, iu_route_held.event_subject, iu_route_held.subject_seq
            limit 1
          ) as next_subject
        )
      select waiting.*, route.decision, route.event_type, route.event_filter, route.after_dead_letter, route.is_ordered,
        prior.state as prior_state
      from waiting
      join fn_iu_routes_now() as route on route.route_code = waiting.route_code
      left join lateral fn_iu_route_prior(
        p_worker_code, waiting.route_code, route.event_type, route.event_filter, route.after_dead_letter,
        waiting.event_domain, waiting.event_subject, waiting.subject_seq) as prior on route.is_ordered
      where coalesce(prior.state in ('done', 'passed_over'), true)
    loop
      v_event_ids := array[v_first.event_id];
      v_detail := case when v_first.prior_state = 'passed_over' then '{"after_dead_letter": true}' else '{}' end;
      if v_first.decision = 'dry_run' and v_first.prior_state is distinct from 'passed_over' then
        for v_follower in
          select iu_route_held.event_id, prior.event_id as prior_event_id
          from iu_route_held
          left join lateral fn_iu_route_prior(
            p_worker_code, v_first.route_code, v_first.event_type, v_first.event_filter, v_first.after_dead_letter,
            v_first.event_domain, v_first.event_subject, iu_route_held.subject_seq) as prior on true
          where iu_route_held.worker_code = p_worker_code
            and iu_route_held.route_code = v_first.route_code
            and iu_route_held.event_domain = v_first.event_domain
            and iu_route_held.event_subject = v_first.event_subject
            and iu_route_held.subject_seq > v_first.subject_seq
          order by iu_route_held.subject_seq
          limit p_limit
        loop
          exit when v_first.is_ordered and v_follower.prior_event_id is distinct from v_event_ids[cardinality(v_event_ids)];
          v_event_ids := v_event_ids || v_follower.event_id;
        end loop;
      end if;

      begin
        attempts := attempts + fn_iu_route_decide(p_worker_code, v_event_ids, v_first.route_code, false, v_detail);
      exception
        when others then
          if fn_iu_passes_on(sqlstate) then
            raise;
          end if;
          v_event_ids := array[v_first.event_id];
          begin
            attempts := attempts + fn_iu_route_decide(p_worker_code, v_event_ids, v_first.route_code, false, v_detail);
          exception
            when others then
              if fn_iu_passes_on(sqlstate) then
                raise;
              end if;
              perform fn_iu_route_record_failure(
                p_worker_code, v_first.event_id, v_first.route_code, 1, 'worker_process_error', sqlstate, sqlerrm);
              attempts := attempts + 1;
              dead_lettered := dead_lettered + 1;
          end;
      end;

      -- A route whose filter was changed meanwhile takes it no more; that is recorded, too.
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, detail)
      select
        keyed.idempotency_key, 1, keyed.event_id, v_first.route_code, p_worker_code, 'skipped', 'skipped',
        '{"because": "the route takes it no more"}'
      from (
        select
          freed.event_id,
          freed.event_id::text || ':' || v_first.route_code || ':' || p_worker_code as idempotency_key
        from unnest(v_event_ids) as freed (event_id)
      ) as keyed
      where not exists (
        select
        from iu_route_attempt
        where iu_route_attempt.idempotency_key = keyed.idempotency_key
      );
      delete from iu_route_held
      where iu_route_held.event_id = any (v_event_ids)
        and iu_route_held.route_code = v_first.route_code
        and iu_route_held.worker_code = p_worker_code;
      v_freed := v_freed + cardinality(v_event_ids);
    end loop;
    exit when v_freed = 0 or attempts >= p_limit;
  end loop;
end
$$;
comment on function fn_iu_route_held_release(text, integer) is
  'Layer worker. Decides about held events whose turn has come, in the order of their subjects.';

create function fn_iu_route_worker_run(p_cursor_code text, p_limit integer)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: claims the next events of a cursor in commit order, routes them, records the attempts and moves the cursor, in
--       the caller's transaction; then lets held events go whose turn has come. Answers ran, or did nothing: gate_closing,
--       master_gate_closed, worker_gate_closed, busy.
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

alter function fn_iu_worker_no_op(text) owner to iu_core_owner;
alter function fn_iu_route_worker_claim(text) owner to iu_core_owner;
alter function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer) owner to iu_core_owner;
alter function fn_iu_route_worker_open(text) owner to iu_core_owner;
alter function fn_iu_route_worker_next(text) owner to iu_core_owner;
alter function fn_iu_route_worker_step(text, uuid, text) owner to iu_core_owner;
alter function fn_iu_route_worker_fail(text, uuid, text, text, text) owner to iu_core_owner;
alter function fn_iu_route_worker_advance(text, uuid) owner to iu_core_owner;
alter function fn_iu_route_worker_singly(text, integer) owner to iu_core_owner;
alter function fn_iu_route_held_release(text, integer) owner to iu_core_owner;
alter function fn_iu_route_worker_run(text, integer) owner to iu_core_owner;

revoke all on function fn_iu_worker_no_op(text) from public;
revoke all on function fn_iu_route_worker_claim(text) from public;
revoke all on function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer) from public;
revoke all on function fn_iu_route_worker_open(text) from public;
revoke all on function fn_iu_route_worker_next(text) from public;
revoke all on function fn_iu_route_worker_step(text, uuid, text) from public;
revoke all on function fn_iu_route_worker_fail(text, uuid, text, text, text) from public;
revoke all on function fn_iu_route_worker_advance(text, uuid) from public;
revoke all on function fn_iu_route_worker_singly(text, integer) from public;
revoke all on function fn_iu_route_held_release(text, integer) from public;
revoke all on function fn_iu_route_worker_run(text, integer) from public;
grant execute on function fn_iu_route_worker_open(text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_next(text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_step(text, uuid, text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_fail(text, uuid, text, text, text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_advance(text, uuid) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_worker_run(text, integer) to iu_core_worker, iu_core_operator;
