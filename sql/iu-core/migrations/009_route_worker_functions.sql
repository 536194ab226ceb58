-- does:      installs the route worker: run, delivery seam (unbuilt: it raises), replay, health, conservation, closing of
--            gates, rebase after a restore, and three views.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function, duplicate_table where foreign objects hold these names.

create function fn_iu_worker_lock_key()
  returns bigint
  language sql
  stable
  parallel safe
  set search_path from current
as $$
-- does: key of the advisory lock that runs share and a closing gate takes alone; one for each installed schema.
-- called by: run, replay, fn_iu_gate_wait; locks: none; raises: nothing.
select hashtextextended('iu_core route worker in ' || current_schema(), 0)
$$;
comment on function fn_iu_worker_lock_key() is
  'Layer worker. Key of the advisory lock: runs and replays hold the shared side, fn_iu_gate_wait waits for the other.';

create function fn_iu_delivery_open(p_route_code text)
  returns boolean
  language sql
  stable
  set search_path from current
as $$
-- does: whether a live route may deliver: the delivery gate is open and the list names the route.
-- called by: fn_iu_route_decide; locks: none; raises: nothing, never returns null.
select fn_iu_gate_open('iu_core.delivery_enabled')
  and exists (
    select
    from dot_config
    where dot_config.key = 'iu_core.delivery_live_routes'
      and p_route_code = any (regexp_split_to_array(btrim(dot_config.value), '\s*,\s*'))
  )
$$;
comment on function fn_iu_delivery_open(text) is
  'Layer worker. Whether a live route may deliver: iu_core.delivery_enabled is true and iu_core.delivery_live_routes names it.';

create function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: the delivery seam: hands one event to the target of a live route; unbuilt, so it always raises.
-- called by: fn_iu_route_decide, only for a live route behind open delivery gates.
-- locks: none.
-- raises: feature_not_supported.
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = format('delivery is not built: route %s, event %s', coalesce(p_route_code, '-'), coalesce(p_event_id::text, '-')),
    hint = 'Set the route to dry_run. Nothing was delivered.';
end
$$;
comment on function fn_iu_route_deliver(text, uuid, jsonb) is
  'Layer worker. The delivery seam; raises feature_not_supported until it is built.';

create function fn_iu_route_seam_fails_closed()
  returns boolean
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: calls the seam for nothing and tells whether it refused as unbuilt; called by: checks W7 and L5.
-- locks: none; raises: nothing.
begin
  perform fn_iu_route_deliver(null, null, '{}');
  return false;
exception
  when feature_not_supported then
    return true;
  when others then
    return false;
end
$$;
comment on function fn_iu_route_seam_fails_closed() is
  'Layer worker. Whether the delivery seam refuses as unbuilt, found out by calling it for no event.';

create function fn_iu_route_decide(
  p_worker_code text,
  p_event_ids uuid[],
  p_route_code text default null,
  p_attempt_no integer default 1
)
  returns integer
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: routes a set of events in one statement and records one attempt for each event and route; what is already
--       recorded under its key is left alone, and the key is decided before anything is delivered.
-- called by: run (whole batch; one event; one event and route) and replay (with the next number).
-- locks: the new rows; the caller holds the cursor or the dead letter.
-- raises: whatever a filter or the seam raises, which records nothing of the set.
declare
  v_recorded integer;
begin
  with
    claimed as (
      select event_outbox.*
      from event_outbox
      where event_outbox.id = any (p_event_ids)
    ),
    matched as (
      select
        claimed.id as event_id,
        iu_outbound_route.route_code,
        iu_outbound_route.target_kind,
        iu_outbound_route.target_ref,
        iu_outbound_route.dry_run
      from claimed
      join iu_outbound_route
        on iu_outbound_route.event_domain = claimed.event_domain
        and iu_outbound_route.event_type = claimed.event_type
      where iu_outbound_route.enabled
        and (p_route_code is null or iu_outbound_route.route_code = p_route_code)
        and (
          iu_outbound_route.event_filter is null
          or jsonb_path_query_first(claimed.payload, iu_outbound_route.event_filter) not in ('false', 'null')
        )
    ),
    decided as (
      select
        matched.event_id,
        matched.route_code,
        matched.target_kind,
        matched.target_ref,
        case
          when matched.dry_run then 'dry_run'
          when fn_iu_delivery_open(matched.route_code) then 'live'
          else 'blocked'
        end as decision
      from matched
      union all
      select claimed.id, null, null, null, 'no_route'
      from claimed
      where p_route_code is null
        and not exists (
          select
          from matched
          where matched.event_id = claimed.id
        )
    ),
    keyed as (
      select
        decided.*,
        decided.event_id::text || ':' || coalesce(decided.route_code, '-') || ':' || p_worker_code as idempotency_key
      from decided
    ),
    undecided as materialized (
      select keyed.*
      from keyed
      where not exists (
        select
        from iu_route_attempt
        where iu_route_attempt.idempotency_key = keyed.idempotency_key
          and iu_route_attempt.attempt_no >= p_attempt_no
      )
    ),
    delivered as materialized (
      select
        undecided.*,
        case
          when undecided.decision = 'live' then fn_iu_route_deliver(
            undecided.route_code,
            undecided.event_id,
            (
              select jsonb_build_object(
                'route_code', undecided.route_code,
                'event_ref', undecided.event_id,
                'target_kind', undecided.target_kind,
                'target_ref', undecided.target_ref,
                'idempotency_key', undecided.event_id::text || ':' || undecided.route_code,
                'safe_payload', claimed.payload
              )
              from claimed
              where claimed.id = undecided.event_id
            )
          )
        end as outcome
      from undecided
    ),
    recorded as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered,
        target_kind, target_ref, failure_code, detail)
      select
        delivered.idempotency_key,
        p_attempt_no,
        delivered.event_id,
        delivered.route_code,
        p_worker_code,
        coalesce(delivered.outcome ->> 'status', delivered.decision),
        coalesce(
          delivered.outcome ->> 'status',
          case delivered.decision when 'no_route' then 'skipped' else delivered.decision end),
        coalesce((delivered.outcome ->> 'delivered')::boolean, false),
        delivered.target_kind,
        delivered.target_ref,
        case when delivered.outcome ->> 'status' = 'failed' then coalesce(delivered.outcome ->> 'code', 'target_failed') end,
        coalesce(delivered.outcome -> 'detail', '{}')
      from delivered
      on conflict (idempotency_key, attempt_no) do nothing
      returning 1
    )
  select count(*)
  into v_recorded
  from recorded;
  return v_recorded;
end
$$;
comment on function fn_iu_route_decide(text, uuid[], text, integer) is
  'Layer worker. Routes a set of events in one statement, one attempt for each event and route; returns how many it wrote.';

create function fn_iu_route_record_failure(
  p_worker_code text,
  p_event_id uuid,
  p_route_code text,
  p_attempt_no integer,
  p_failure_code text,
  p_sqlstate text,
  p_message text
)
  returns void
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: records a failed attempt and its dead letter: a new snapshot, or the newest failure of the letter that is there.
-- called by: run, replay.
-- locks: the letter's row.
-- raises: nothing of its own.
declare
  v_key constant text := p_event_id::text || ':' || coalesce(p_route_code, '-') || ':' || p_worker_code;
  v_detail constant jsonb := jsonb_build_object('sqlstate', p_sqlstate, 'message', left(p_message, 2000));
  v_fingerprint constant text := left(encode(sha256(convert_to(
    coalesce(p_route_code, '-') || ' ' || p_failure_code || ' ' || p_sqlstate || ' '
      || regexp_replace(p_message, '''[^'']*''|"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|\d+', '#', 'g'),
    'UTF8')), 'hex'), 16);
begin
  with
    tried as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status,
        target_kind, target_ref, failure_code, detail)
      select
        v_key, p_attempt_no, p_event_id, p_route_code, p_worker_code, 'failed', 'failed',
        iu_outbound_route.target_kind, iu_outbound_route.target_ref, p_failure_code, v_detail
      from (values (p_route_code)) as failed (route_code)
      left join iu_outbound_route on iu_outbound_route.route_code = failed.route_code
      returning iu_route_attempt.*
    )
  insert into iu_route_dead_letter (
    idempotency_key, event_id, route_code, worker_code, event, route, last_attempt,
    failure_code, failure_detail, fingerprint)
  select
    v_key, p_event_id, p_route_code, p_worker_code,
    to_jsonb(event_outbox), to_jsonb(iu_outbound_route), to_jsonb(tried),
    p_failure_code, v_detail, v_fingerprint
  from tried
  join event_outbox on event_outbox.id = p_event_id
  left join iu_outbound_route on iu_outbound_route.route_code = p_route_code
  on conflict (idempotency_key) do update
  set
    last_attempt = excluded.last_attempt,
    failure_code = excluded.failure_code,
    failure_detail = excluded.failure_detail,
    fingerprint = excluded.fingerprint,
    replay_count = iu_route_dead_letter.replay_count + 1;
end
$$;
comment on function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text) is
  'Layer worker. Records a failed attempt together with its dead letter.';

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

create function fn_iu_route_worker_run(p_cursor_code text, p_limit integer)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: claims the next events of a cursor in commit order, routes them, records the attempts and moves the cursor, in
--       the caller's transaction. Answers ran, or did nothing: gate_closing, master_gate_closed, worker_gate_closed, busy.
-- called by: drain, runtime 090, the probe.
-- locks: shared side of the worker's advisory lock and the cursor's row, both by try, until the transaction ends.
-- raises: SL008 on a standby, for a bad limit, an unknown cursor, or under REPEATABLE READ outside a probe; SL007 for a
--         cursor of another cluster.
declare
  v_started_at constant timestamptz := clock_timestamp();
  v_probe constant boolean := fn_iu_in_probe();
  v_own constant xid8 := pg_current_xact_id_if_assigned();
  v_max_batch integer;
  v_cursor iu_route_worker_cursor;
  v_epoch integer;
  v_epoch_system bigint;
  v_horizon xid8;
  v_batch uuid[];
  v_event_id uuid;
  v_route_code text;
  v_attempts integer := 0;
  v_dead_lettered integer := 0;
  v_letters_of_event integer;
  v_result jsonb;
begin
  if pg_is_in_recovery() then
    raise exception using
      errcode = 'SL008',
      message = 'the route worker was called on a standby',
      hint = 'Call it on the primary. Nothing was changed.';
  end if;
  v_max_batch := fn_iu_config_positive_int('iu_core.route_worker_max_batch');
  if p_limit is null or p_limit < 1 or p_limit > v_max_batch then
    raise exception using
      errcode = 'SL008',
      message = format('a run was asked for %s events', coalesce(p_limit::text, 'null')),
      hint = format('1 to %s are allowed (dot_config iu_core.route_worker_max_batch). Nothing was changed.', v_max_batch);
  end if;

  if pg_try_advisory_xact_lock_shared(fn_iu_worker_lock_key()) is not true then
    return fn_iu_worker_no_op('gate_closing');
  end if;
  if fn_iu_gate_open('iu_core.outbound_enabled') is true then
    null;
  else
    return fn_iu_worker_no_op('master_gate_closed');
  end if;
  if fn_iu_gate_open('iu_core.route_worker_enabled') is true then
    null;
  else
    return fn_iu_worker_no_op('worker_gate_closed');
  end if;
  if current_setting('transaction_isolation') <> 'read committed' and v_probe is not true then
    raise exception using
      errcode = 'SL008',
      message = format('a run was asked for under %s', upper(current_setting('transaction_isolation'))),
      hint = 'READ COMMITTED is needed: an older snapshot does not see a gate that was closed since. Nothing was changed.';
  end if;

  select iu_route_worker_cursor.*
  into v_cursor
  from iu_route_worker_cursor
  where iu_route_worker_cursor.cursor_code = p_cursor_code
  for update skip locked;
  if not found then
    if exists (select from iu_route_worker_cursor where iu_route_worker_cursor.cursor_code = p_cursor_code) then
      return fn_iu_worker_no_op('busy');
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
  if v_cursor.system_identifier <> fn_iu_system_identifier()
    or v_epoch_system <> fn_iu_system_identifier()
    or v_cursor.cursor_epoch > coalesce(v_epoch, 0)
  then
    raise exception using
      errcode = 'SL007',
      message = format('cursor %s counts transactions of another cluster', p_cursor_code),
      hint = 'The database was restored. Run fn_iu_outbox_rebase once it is the one that counts. Nothing was changed.';
  end if;

  if v_probe and (v_cursor.cursor_xact_id is null or v_cursor.cursor_xact_id < v_own or v_cursor.cursor_epoch < v_epoch) then
    v_cursor.cursor_epoch := v_epoch;
    v_cursor.cursor_xact_id := v_own;
    v_cursor.cursor_created_at := '-infinity';
    v_cursor.cursor_event_id := '00000000-0000-0000-0000-000000000000';
  end if;

  -- The horizon is read in the same statement as the rows: what is below it has ended, and nothing can appear there.
  with
    ordered as (
      select
        event_outbox.epoch,
        event_outbox.xact_id,
        event_outbox.created_at,
        event_outbox.id,
        bool_and(v_cursor.safety_lag = '0' or event_outbox.created_at <= v_started_at - v_cursor.safety_lag) over (
          order by event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
          rows unbounded preceding
        ) as old_enough
      from event_outbox
      where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
          coalesce(v_cursor.cursor_epoch, 0),
          coalesce(v_cursor.cursor_xact_id, '0'),
          coalesce(v_cursor.cursor_created_at, '-infinity'),
          coalesce(v_cursor.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
        and (event_outbox.epoch, event_outbox.xact_id) < (
          v_epoch,
          case
            when v_probe then (v_own::text::numeric + 1)::text::xid8
            else pg_snapshot_xmin(pg_current_snapshot())
          end)
      order by event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
      limit p_limit
    ),
    claimed as (
      select ordered.*, row_number() over in_order as place, count(*) over () as places
      from ordered
      where ordered.old_enough
      window in_order as (order by ordered.epoch, ordered.xact_id, ordered.created_at, ordered.id)
    ),
    last_claimed as (
      select claimed.*
      from claimed
      where claimed.place = claimed.places
    )
  select
    pg_snapshot_xmin(pg_current_snapshot()),
    coalesce((select array_agg(claimed.id order by claimed.place) from claimed), '{}'),
    coalesce(last_claimed.epoch, v_cursor.cursor_epoch),
    coalesce(last_claimed.xact_id, v_cursor.cursor_xact_id),
    coalesce(last_claimed.created_at, v_cursor.cursor_created_at),
    coalesce(last_claimed.id, v_cursor.cursor_event_id)
  into
    v_horizon,
    v_batch,
    v_cursor.cursor_epoch,
    v_cursor.cursor_xact_id,
    v_cursor.cursor_created_at,
    v_cursor.cursor_event_id
  from (values (true)) as once (always)
  left join last_claimed on once.always;

  if cardinality(v_batch) > 0 then
    begin
      v_attempts := fn_iu_route_decide(p_cursor_code, v_batch);
    exception
      when others then
        -- Nothing of the set is left. What a retry may cure is passed on; anything else is looked for event by event.
        if sqlstate ~ '^(25|40|53|57)' or sqlstate = '55P03' then
          raise;
        end if;
        v_attempts := 0;
        foreach v_event_id in array v_batch loop
          begin
            v_attempts := v_attempts + fn_iu_route_decide(p_cursor_code, array[v_event_id]);
          exception
            when others then
              if sqlstate ~ '^(25|40|53|57)' or sqlstate = '55P03' then
                raise;
              end if;
              v_letters_of_event := 0;
              for v_route_code in
                select iu_outbound_route.route_code
                from iu_outbound_route
                join event_outbox
                  on event_outbox.event_domain = iu_outbound_route.event_domain
                  and event_outbox.event_type = iu_outbound_route.event_type
                where event_outbox.id = v_event_id
                  and iu_outbound_route.enabled
                order by iu_outbound_route.route_code
              loop
                begin
                  v_attempts := v_attempts + fn_iu_route_decide(p_cursor_code, array[v_event_id], v_route_code);
                exception
                  when others then
                    if sqlstate ~ '^(25|40|53|57)' or sqlstate = '55P03' then
                      raise;
                    end if;
                    perform fn_iu_route_record_failure(
                      p_cursor_code, v_event_id, v_route_code, 1, 'worker_process_error', sqlstate, sqlerrm);
                    v_letters_of_event := v_letters_of_event + 1;
                end;
              end loop;
              if v_letters_of_event = 0 then
                perform fn_iu_route_record_failure(
                  p_cursor_code, v_event_id, null, 1, 'worker_process_error', sqlstate, sqlerrm);
                v_letters_of_event := 1;
              end if;
              v_attempts := v_attempts + v_letters_of_event;
              v_dead_lettered := v_dead_lettered + v_letters_of_event;
          end;
        end loop;
    end;
  end if;

  if v_cursor.cursor_created_at = '-infinity' then
    v_cursor.cursor_epoch := null;
    v_cursor.cursor_xact_id := null;
    v_cursor.cursor_created_at := null;
    v_cursor.cursor_event_id := null;
  end if;
  v_result := jsonb_build_object(
    'status', 'ran',
    'seen', cardinality(v_batch),
    'attempts_written', v_attempts,
    'dead_lettered', v_dead_lettered,
    'cursor_event_id', v_cursor.cursor_event_id,
    'cursor_created_at', v_cursor.cursor_created_at
  );
  -- A run that found nothing, right after another that found nothing, has no news: it leaves the row alone, so that idle
  -- polling writes nothing and a probe's snapshot stays current.
  if cardinality(v_batch) > 0
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
  return v_result;
end
$$;
comment on function fn_iu_route_worker_run(text, integer) is
  'Layer worker. One run: claims up to p_limit events in commit order, records the attempts, moves the cursor; returns what it did.';

create function fn_iu_route_dead_letter_replay(p_dead_letter_id uuid, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: tries a dead letter again as its route is now, under the same key with the next attempt number; what succeeds is
--       resolved, what fails again stays open with its count. Answers replayed, or why nothing was tried: gate_closing,
--       master_gate_closed, worker_gate_closed, delivery_gate_closed, busy, route_does_not_take_it, not_open.
-- called by: operators, the probe.
-- locks: shared side of the worker's advisory lock and the letter's row, both by try, until the transaction ends.
-- raises: no_data_found; invalid_parameter_value without actor or reason; SL008 under REPEATABLE READ outside a probe.
declare
  v_letter iu_route_dead_letter;
  v_route iu_outbound_route;
  v_attempt_no integer;
  v_status text;
  v_decision text;
  v_resolved boolean := false;
begin
  if p_actor is null or p_actor !~ '\S' or p_reason is null or p_reason !~ '\S' then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'a replay names who asks for it and why',
      hint = 'Give actor and reason. Nothing was changed.';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' and fn_iu_in_probe() is not true then
    raise exception using
      errcode = 'SL008',
      message = format('a replay was asked for under %s', upper(current_setting('transaction_isolation'))),
      hint = 'READ COMMITTED is needed: an older snapshot does not see a gate that was closed since. Nothing was changed.';
  end if;

  v_status := case
    when pg_try_advisory_xact_lock_shared(fn_iu_worker_lock_key()) is not true then 'gate_closing'
  end;
  if v_status is null then
    v_status := case
      when fn_iu_gate_open('iu_core.outbound_enabled') is not true then 'master_gate_closed'
      when fn_iu_gate_open('iu_core.route_worker_enabled') is not true then 'worker_gate_closed'
    end;
  end if;

  if v_status is null then
    select iu_route_dead_letter.*
    into v_letter
    from iu_route_dead_letter
    where iu_route_dead_letter.dead_letter_id = p_dead_letter_id
    for update skip locked;
    if not found then
      if not exists (select from iu_route_dead_letter where iu_route_dead_letter.dead_letter_id = p_dead_letter_id) then
        raise exception using
          errcode = 'no_data_found',
          message = format('there is no dead letter %s', coalesce(p_dead_letter_id::text, 'null')),
          hint = 'See v_iu_route_dead_letter_open. Nothing was changed.';
      end if;
      v_status := 'busy';
    elsif v_letter.state not in ('open', 'parked') then
      v_status := 'not_open';
      v_resolved := v_letter.state = 'resolved';
    end if;
  end if;

  if v_status is null and v_letter.route_code is not null then
    select iu_outbound_route.*
    into v_route
    from iu_outbound_route
    where iu_outbound_route.route_code = v_letter.route_code;
    v_status := case
      when v_route.enabled is not true then 'route_does_not_take_it'
      when v_route.dry_run is not true and not fn_iu_delivery_open(v_letter.route_code) then 'delivery_gate_closed'
    end;
  end if;

  if v_status is null then
    select max(iu_route_attempt.attempt_no) + 1
    into strict v_attempt_no
    from iu_route_attempt
    where iu_route_attempt.idempotency_key = v_letter.idempotency_key;

    begin
      if v_letter.route_code is not null then
        perform fn_iu_route_decide(
          v_letter.worker_code, array[v_letter.event_id], v_letter.route_code, v_attempt_no);
      else
        -- The failure belonged to no route: whatever is still undecided about the event is decided now.
        insert into iu_route_attempt (
          idempotency_key, attempt_no, event_id, worker_code, decision, status, detail)
        select
          v_letter.idempotency_key, v_attempt_no, v_letter.event_id, v_letter.worker_code, 'skipped', 'skipped',
          jsonb_build_object('attempts_written', fn_iu_route_decide(v_letter.worker_code, array[v_letter.event_id]));
      end if;
    exception
      when others then
        if sqlstate ~ '^(25|40|53|57)' or sqlstate = '55P03' then
          raise;
        end if;
        perform fn_iu_route_record_failure(
          v_letter.worker_code, v_letter.event_id, v_letter.route_code, v_attempt_no,
          'worker_process_error', sqlstate, sqlerrm);
    end;

    select iu_route_attempt.decision
    into v_decision
    from iu_route_attempt
    where iu_route_attempt.idempotency_key = v_letter.idempotency_key
      and iu_route_attempt.attempt_no = v_attempt_no;
    v_resolved := coalesce(v_decision in ('dry_run', 'sent', 'skipped'), false);
    v_status := case when v_decision is null then 'route_does_not_take_it' else 'replayed' end;
    if v_resolved then
      update iu_route_dead_letter
      set
        state = 'resolved',
        state_actor = p_actor,
        state_reason = p_reason,
        state_at = clock_timestamp(),
        replay_count = iu_route_dead_letter.replay_count + 1,
        last_attempt = (
          select to_jsonb(iu_route_attempt)
          from iu_route_attempt
          where iu_route_attempt.idempotency_key = v_letter.idempotency_key
            and iu_route_attempt.attempt_no = v_attempt_no
        )
      where iu_route_dead_letter.dead_letter_id = p_dead_letter_id;
    elsif v_decision = 'failed' and not exists (
      -- A target that answered `failed` without raising has its attempt, and the letter does not know of it yet.
      select
      from iu_route_dead_letter
      where iu_route_dead_letter.dead_letter_id = p_dead_letter_id
        and (iu_route_dead_letter.last_attempt ->> 'attempt_no')::integer = v_attempt_no
    ) then
      update iu_route_dead_letter
      set
        replay_count = iu_route_dead_letter.replay_count + 1,
        failure_code = iu_route_attempt.failure_code,
        failure_detail = iu_route_attempt.detail,
        last_attempt = to_jsonb(iu_route_attempt)
      from iu_route_attempt
      where iu_route_dead_letter.dead_letter_id = p_dead_letter_id
        and iu_route_attempt.idempotency_key = v_letter.idempotency_key
        and iu_route_attempt.attempt_no = v_attempt_no;
    end if;
  end if;

  return jsonb_build_object(
    'status', v_status,
    'dead_letter_id', p_dead_letter_id,
    'decision', v_decision,
    'resolved', v_resolved,
    'attempt_no', case when v_status = 'replayed' then v_attempt_no end
  );
end
$$;
comment on function fn_iu_route_dead_letter_replay(uuid, text, text) is
  'Layer worker. Tries a dead letter again under its key with the next attempt number; closed gates hold it, never send it.';

create view v_iu_route_attempt_summary
  with (security_invoker = true)
as
select
  iu_route_attempt.worker_code,
  iu_route_attempt.route_code,
  iu_route_attempt.decision,
  iu_route_attempt.status,
  count(*) as attempts,
  count(*) filter (where iu_route_attempt.attempt_no = 1) as first_attempts,
  count(*) filter (where iu_route_attempt.delivered) as delivered,
  min(iu_route_attempt.created_at) as first_at,
  max(iu_route_attempt.created_at) as last_at
from iu_route_attempt
group by iu_route_attempt.worker_code, iu_route_attempt.route_code, iu_route_attempt.decision, iu_route_attempt.status;
comment on view v_iu_route_attempt_summary is 'Layer worker. Attempts by worker, route and decision.';
comment on column v_iu_route_attempt_summary.worker_code is 'The worker.';
comment on column v_iu_route_attempt_summary.route_code is 'The route; null where none matched.';
comment on column v_iu_route_attempt_summary.decision is 'What was decided.';
comment on column v_iu_route_attempt_summary.status is 'The decision as a delivery status.';
comment on column v_iu_route_attempt_summary.attempts is 'All attempts, replays included.';
comment on column v_iu_route_attempt_summary.first_attempts is 'First decisions only.';
comment on column v_iu_route_attempt_summary.delivered is 'Attempts after which the target had it.';
comment on column v_iu_route_attempt_summary.first_at is 'Time of the first.';
comment on column v_iu_route_attempt_summary.last_at is 'Time of the last.';

create view v_iu_event_backlog
  with (security_invoker = true)
as
select
  iu_route_worker_cursor.cursor_code,
  ahead.event_domain,
  ahead.event_type,
  count(*) as events,
  count(*) filter (where not ahead.settled) as unsettled,
  min(ahead.created_at) as oldest_at,
  max(ahead.created_at) as newest_at
from iu_route_worker_cursor
cross join lateral (
  select
    event_outbox.event_domain,
    event_outbox.event_type,
    event_outbox.created_at,
    (event_outbox.epoch, event_outbox.xact_id) < (
      (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch),
      pg_snapshot_xmin(pg_current_snapshot())) as settled
  from event_outbox
  where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
    coalesce(iu_route_worker_cursor.cursor_epoch, 0),
    coalesce(iu_route_worker_cursor.cursor_xact_id, '0'),
    coalesce(iu_route_worker_cursor.cursor_created_at, '-infinity'),
    coalesce(iu_route_worker_cursor.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
) as ahead
group by iu_route_worker_cursor.cursor_code, ahead.event_domain, ahead.event_type;
comment on view v_iu_event_backlog is 'Layer worker. Committed events that a cursor has not decided about yet, by domain and type.';
comment on column v_iu_event_backlog.cursor_code is 'The cursor.';
comment on column v_iu_event_backlog.event_domain is 'Domain of the events.';
comment on column v_iu_event_backlog.event_type is 'Type of the events.';
comment on column v_iu_event_backlog.events is 'How many wait.';
comment on column v_iu_event_backlog.unsettled is 'How many of them lie above the high-water mark: an older transaction is still open.';
comment on column v_iu_event_backlog.oldest_at is 'When the oldest was written.';
comment on column v_iu_event_backlog.newest_at is 'When the newest was written.';

create view v_iu_route_dead_letter_open
  with (security_invoker = true)
as
select
  iu_route_dead_letter.dead_letter_id,
  iu_route_dead_letter.event_id,
  iu_route_dead_letter.route_code,
  iu_route_dead_letter.worker_code,
  iu_route_dead_letter.failure_code,
  iu_route_dead_letter.failure_detail,
  iu_route_dead_letter.fingerprint,
  iu_route_dead_letter.replay_count,
  iu_route_dead_letter.created_at
from iu_route_dead_letter
where iu_route_dead_letter.state = 'open';
comment on view v_iu_route_dead_letter_open is 'Layer worker. Dead letters that nobody has resolved, parked or discarded.';
comment on column v_iu_route_dead_letter_open.dead_letter_id is 'Identity; a replay names it.';
comment on column v_iu_route_dead_letter_open.event_id is 'The event.';
comment on column v_iu_route_dead_letter_open.route_code is 'The route; null where the failure belongs to none.';
comment on column v_iu_route_dead_letter_open.worker_code is 'The worker.';
comment on column v_iu_route_dead_letter_open.failure_code is 'Code of the newest failure.';
comment on column v_iu_route_dead_letter_open.failure_detail is 'SQLSTATE and message of the newest failure.';
comment on column v_iu_route_dead_letter_open.fingerprint is 'Equal for failures of one kind.';
comment on column v_iu_route_dead_letter_open.replay_count is 'Replays so far.';
comment on column v_iu_route_dead_letter_open.created_at is 'When it was written.';

create function fn_iu_horizon_blocker()
  returns jsonb
  language sql
  volatile
  set search_path from current
as $$
-- does: names what holds the high-water mark back the longest: a session or a prepared transaction, in any database,
--       never the caller's own session; null where nothing does.
-- called by: health; locks: none; raises: nothing. Who has not pg_read_all_stats sees no age of other logins' sessions.
with
  holder as (
    select
      age(s.backend_xid) as transactions,
      jsonb_build_object(
        'kind', 'session',
        'pid', s.pid,
        'xid', s.backend_xid::text,
        'age_seconds', round(extract(epoch from clock_timestamp() - s.xact_start)::numeric, 3),
        'state', s.state,
        'database', s.datname,
        'user', s.usename,
        'application', s.application_name
      ) as described
    from pg_stat_activity as s
    where s.backend_xid is not null
      and s.pid <> pg_backend_pid()
    union all
    select
      age(p.transaction),
      jsonb_build_object(
        'kind', 'prepared_transaction',
        'gid', p.gid,
        'xid', p.transaction::text,
        'age_seconds', round(extract(epoch from clock_timestamp() - p.prepared)::numeric, 3),
        'database', p.database,
        'user', p.owner
      )
    from pg_prepared_xacts as p
  ),
  oldest as (
    select holder.described
    from holder
    order by holder.transactions desc
    limit 1
  )
select oldest.described
from oldest
$$;
comment on function fn_iu_horizon_blocker() is
  'Layer worker. What holds the high-water mark back the longest, with pid, xid, age, database, user and application; never the caller.';

create function fn_iu_route_worker_health()
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: one picture of the worker: gates, backlog, age of the oldest undecided event, high-water mark and what holds it
--       back, dead letters, last run; healthy, or the reasons why not. In a probe it counts the probe's own rows only.
-- called by: operators, checks, observe windows.
-- locks: none.
-- raises: config_file_error where a limit is not configured.
declare
  v_probe constant boolean := fn_iu_in_probe();
  v_own constant xid8 := pg_current_xact_id_if_assigned();
  v_max_unrouted constant integer := fn_iu_config_positive_int('iu_core.health_max_unrouted_seconds');
  v_max_stall constant integer := fn_iu_config_positive_int('iu_core.health_max_stall_seconds');
  v_master_open constant boolean := fn_iu_gate_open('iu_core.outbound_enabled');
  v_worker_open constant boolean := fn_iu_gate_open('iu_core.route_worker_enabled');
  v_epoch constant integer := (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch);
  v_blocker jsonb := case when not v_probe then fn_iu_horizon_blocker() end;
  v_stall_seconds numeric;
  v_backlog bigint;
  v_unsettled bigint;
  v_oldest_seconds numeric;
  v_unsettled_seconds numeric;
  v_cursors jsonb;
  v_foreign text;
  v_attempts bigint;
  v_blocked bigint;
  v_dead_letters bigint;
  v_reasons text[];
begin
  select
    max(behind.events),
    max(behind.unsettled),
    round(max(extract(epoch from clock_timestamp() - behind.oldest_at))::numeric, 3),
    round(max(extract(epoch from clock_timestamp() - behind.oldest_unsettled_at))::numeric, 3),
    jsonb_agg(jsonb_build_object(
      'cursor_code', behind.cursor_code,
      'backlog', behind.events,
      'cursor_event_id', behind.cursor_event_id,
      'cursor_created_at', behind.cursor_created_at,
      'last_run_at', behind.last_run_at,
      'last_run_summary', behind.last_run_summary
    ) order by behind.cursor_code),
    string_agg(behind.cursor_code, ', ') filter (where behind.system_identifier <> fn_iu_system_identifier())
  into v_backlog, v_unsettled, v_oldest_seconds, v_unsettled_seconds, v_cursors, v_foreign
  from (
    select
      iu_route_worker_cursor.*,
      ahead.events,
      ahead.unsettled,
      ahead.oldest_at,
      ahead.oldest_unsettled_at
    from iu_route_worker_cursor
    cross join lateral (
      select
        count(*) as events,
        count(*) filter (where not found.settled) as unsettled,
        min(found.created_at) as oldest_at,
        min(found.created_at) filter (where not found.settled) as oldest_unsettled_at
      from (
        select
          event_outbox.created_at,
          v_probe or (event_outbox.epoch, event_outbox.xact_id) < (
            v_epoch, pg_snapshot_xmin(pg_current_snapshot())) as settled
        from event_outbox
        where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
            coalesce(iu_route_worker_cursor.cursor_epoch, 0),
            coalesce(iu_route_worker_cursor.cursor_xact_id, '0'),
            coalesce(iu_route_worker_cursor.cursor_created_at, '-infinity'),
            coalesce(iu_route_worker_cursor.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
          and (not v_probe or event_outbox.xact_id = v_own)
      ) as found
    ) as ahead
  ) as behind;

  select
    count(*),
    count(*) filter (
      where iu_route_attempt.decision = 'blocked'
        and not exists (
          select
          from iu_route_attempt as later
          where later.idempotency_key = iu_route_attempt.idempotency_key
            and later.attempt_no > iu_route_attempt.attempt_no
        )
    )
  into v_attempts, v_blocked
  from iu_route_attempt
  where not v_probe
    or iu_route_attempt.xact_id = v_own;

  select count(*)
  into v_dead_letters
  from iu_route_dead_letter
  where iu_route_dead_letter.state = 'open'
    and (not v_probe or iu_route_dead_letter.xact_id = v_own);

  -- An unsettled event is younger than what holds it back: its age stands in for one that may not be seen.
  v_stall_seconds := coalesce((v_blocker ->> 'age_seconds')::numeric, v_unsettled_seconds, 0);
  v_reasons := array_remove(array[
    case when not exists (select from dot_config where dot_config.key = 'iu_core.outbound_enabled')
      then 'the master gate has no row' end,
    case when not exists (select from dot_config where dot_config.key = 'iu_core.route_worker_enabled')
      then 'the worker gate has no row: the worker is not registered' end,
    case when v_cursors is null
      then 'no cursor is registered' end,
    case when v_foreign is not null
      then format('cursor %s counts transactions of another cluster', v_foreign) end,
    case when v_oldest_seconds > v_max_unrouted
      then format('the oldest undecided event is %s s old, the limit is %s s%s', v_oldest_seconds, v_max_unrouted,
        case when v_master_open and v_worker_open then '' else '; a gate is closed' end) end,
    case when v_unsettled > 0 and v_stall_seconds > v_max_stall
      then format('the high-water mark is held back for %s s: %s', v_stall_seconds, v_blocker) end,
    case when v_dead_letters > 0
      then format('%s dead letters are open', v_dead_letters) end
  ], null);

  return jsonb_build_object(
    'healthy', cardinality(v_reasons) = 0,
    'reasons', to_jsonb(v_reasons),
    'probe', v_probe,
    'master_gate_open', v_master_open,
    'worker_gate_open', v_worker_open,
    'delivery_gate_open', fn_iu_gate_open('iu_core.delivery_enabled'),
    'backlog', coalesce(v_backlog, 0),
    'oldest_unrouted_seconds', coalesce(v_oldest_seconds, 0),
    'high_water_mark', jsonb_build_object(
      'xid', pg_snapshot_xmin(pg_current_snapshot()),
      'lag_transactions',
        pg_snapshot_xmax(pg_current_snapshot())::text::numeric - pg_snapshot_xmin(pg_current_snapshot())::text::numeric,
      'lag_seconds', v_stall_seconds,
      'unsettled', coalesce(v_unsettled, 0),
      'stalled', coalesce(v_unsettled, 0) > 0 and v_stall_seconds > v_max_stall,
      'blocker', v_blocker
    ),
    'attempts_in_audit', v_attempts,
    'blocked', v_blocked,
    'queued_deliveries', 0,
    'dead_letter_open', v_dead_letters,
    'cursors', coalesce(v_cursors, '[]')
  );
end
$$;
comment on function fn_iu_route_worker_health() is
  'Layer worker. Health as one object: gates, backlog, high-water mark and its blocker, dead letters, last runs, reasons.';

create function fn_iu_conservation()
  returns jsonb
  language plpgsql
  stable
  set search_path from current
as $$
-- does: proves that nothing was lost or invented, in one snapshot: every event up to a cursor has its first decision by
--       that worker, attempt numbers have no gap, every attempt has its event, every version after the first its event;
--       lists the ids where that does not hold (the first 100 of each kind).
-- called by: verifications, reports, operators.
-- locks: none.
-- raises: nothing of its own.
declare
  v_cursors jsonb;
  v_events_lost bigint;
  v_first_decisions jsonb;
  v_orphans jsonb;
  v_orphan_count bigint;
  v_number_gaps jsonb;
  v_number_gap_count bigint;
  v_versions bigint;
  v_silent_versions jsonb;
  v_silent_version_count bigint := 0;
begin
  with
    first_decided as (
      select distinct
        iu_route_attempt.worker_code,
        iu_route_attempt.event_id
      from iu_route_attempt
      where iu_route_attempt.attempt_no = 1
    ),
    up_to_cursor as (
      select
        iu_route_worker_cursor.cursor_code,
        event_outbox.id,
        first_decided.event_id is not null as decided
      from iu_route_worker_cursor
      join event_outbox
        on (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) <= (
          iu_route_worker_cursor.cursor_epoch,
          iu_route_worker_cursor.cursor_xact_id,
          iu_route_worker_cursor.cursor_created_at,
          iu_route_worker_cursor.cursor_event_id)
      left join first_decided
        on first_decided.event_id = event_outbox.id
        and first_decided.worker_code = iu_route_worker_cursor.cursor_code
    ),
    counted as (
      select
        iu_route_worker_cursor.cursor_code,
        count(up_to_cursor.id) as events,
        count(*) filter (where up_to_cursor.decided) as decided,
        (array_agg(up_to_cursor.id order by up_to_cursor.id) filter (where not up_to_cursor.decided))[1:100] as lost
      from iu_route_worker_cursor
      left join up_to_cursor using (cursor_code)
      group by iu_route_worker_cursor.cursor_code
    )
  select
    jsonb_agg(jsonb_build_object(
      'cursor_code', counted.cursor_code,
      'events_up_to_cursor', counted.events,
      'events_decided', counted.decided,
      'events_without_attempt', coalesce(to_jsonb(counted.lost), '[]')
    ) order by counted.cursor_code),
    sum(counted.events - counted.decided)
  into v_cursors, v_events_lost
  from counted;

  with
    by_decision as (
      select
        iu_route_attempt.worker_code,
        iu_route_attempt.route_code,
        iu_route_attempt.decision,
        count(*) as attempts
      from iu_route_attempt
      where iu_route_attempt.attempt_no = 1
      group by iu_route_attempt.worker_code, iu_route_attempt.route_code, iu_route_attempt.decision
    )
  select jsonb_agg(to_jsonb(by_decision) order by by_decision.worker_code, by_decision.route_code, by_decision.decision)
  into v_first_decisions
  from by_decision;

  with
    orphan as (
      select iu_route_attempt.event_id
      from iu_route_attempt
      where not exists (
        select
        from event_outbox
        where event_outbox.id = iu_route_attempt.event_id
      )
    )
  select count(*), to_jsonb((array_agg(orphan.event_id))[1:100])
  into v_orphan_count, v_orphans
  from orphan;

  with
    gap as (
      select iu_route_attempt.idempotency_key
      from iu_route_attempt
      group by iu_route_attempt.idempotency_key
      having max(iu_route_attempt.attempt_no) <> count(*)
    )
  select count(*), to_jsonb((array_agg(gap.idempotency_key))[1:100])
  into v_number_gap_count, v_number_gaps
  from gap;

  if to_regclass('unit_version') is not null then
    execute $versions$
      with
        told as (
          select distinct event_outbox.subject_ref
          from event_outbox
          where event_outbox.event_domain = 'iu'
            and event_outbox.event_type = 'version_applied'
        ),
        expected as (
          select
            unit_version.id,
            told.subject_ref is not null as told
          from unit_version
          left join told on told.subject_ref = unit_version.id
          where unit_version.version_seq > 1
        )
      select
        count(*),
        count(*) filter (where not expected.told),
        to_jsonb((array_agg(expected.id order by expected.id) filter (where not expected.told))[1:100])
      from expected
    $versions$
    into v_versions, v_silent_version_count, v_silent_versions;
  end if;

  return jsonb_build_object(
    'balanced', coalesce(v_events_lost, 0) = 0 and v_orphan_count = 0 and v_number_gap_count = 0 and v_silent_version_count = 0,
    'events', (select count(*) from event_outbox),
    'cursors', coalesce(v_cursors, '[]'),
    'first_decisions', coalesce(v_first_decisions, '[]'),
    'queued_deliveries', 0,
    'attempts_without_event', coalesce(v_orphans, '[]'),
    'keys_with_missing_attempt_numbers', coalesce(v_number_gaps, '[]'),
    'versions_after_the_first', v_versions,
    'versions_without_event', coalesce(v_silent_versions, '[]')
  );
end
$$;
comment on function fn_iu_conservation() is
  'Layer worker. Proof that nothing was lost: events up to each cursor against first decisions, versions against events, with the ids that fail.';

create function fn_iu_gate_close(p_key text, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the first half of closing: sets the gate to false. The caller commits, then calls fn_iu_gate_wait.
-- called by: operators, the disable runbook.
-- locks: the gate's row.
-- raises: invalid_parameter_value for a key that is no gate, or without actor or reason.
begin
  if p_key is null or p_key !~ '^iu_core\.[a-z_]+_enabled$' or (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('gate %s cannot be closed by this call', coalesce(p_key, 'null')),
      hint = 'Name a gate (iu_core.…_enabled), an actor and a reason. Nothing was changed.';
  end if;
  insert into dot_config (key, value)
  values (p_key, 'false')
  on conflict (key) do update
  set value = excluded.value;
  return jsonb_build_object('gate', p_key, 'value', 'false', 'actor', p_actor, 'reason', p_reason, 'next', 'commit, then fn_iu_gate_wait');
end
$$;
comment on function fn_iu_gate_close(text, text, text) is
  'Layer worker. Sets a gate to false; after the commit fn_iu_gate_wait tells when nothing runs any more.';

create function fn_iu_gate_wait(p_key text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the second half of closing, in a transaction of its own: waits until no run or replay is left. When it returns,
--       nothing is running and nothing can start.
-- called by: operators, the disable runbook.
-- locks: the exclusive side of the worker's advisory lock, waited for under lock_timeout (10 s where none is set).
-- raises: lock_not_available, naming the pids that still run; SL008 where the gate is not closed, or closed only in this
--         very transaction.
declare
  v_value text;
  v_xmin numeric;
  v_next constant numeric := pg_snapshot_xmax(pg_current_snapshot())::text::numeric;
  v_key constant bigint := fn_iu_worker_lock_key();
  v_started_at constant timestamptz := clock_timestamp();
  v_pids text;
begin
  select dot_config.value, dot_config.xmin::text::numeric
  into v_value, v_xmin
  from dot_config
  where dot_config.key = p_key;
  if v_value = 'true' then
    raise exception using
      errcode = 'SL008',
      message = format('gate %s is open', p_key),
      hint = 'Close it with fn_iu_gate_close and commit first. Nothing was changed.';
  end if;

  -- The row's 32-bit xmin, widened: a value far ahead of the newest transaction is one of the round before.
  v_xmin := floor(v_next / 4294967296) * 4294967296 + v_xmin;
  if v_xmin > v_next + 2147483648 then
    v_xmin := v_xmin - 4294967296;
  end if;
  if v_xmin > 2 and pg_xact_status(v_xmin::text::xid8) = 'in progress' then
    raise exception using
      errcode = 'SL008',
      message = format('gate %s was closed in this transaction, and nobody else sees that yet', p_key),
      hint = 'Commit, then wait in a second transaction. Nothing was changed.';
  end if;

  if current_setting('lock_timeout') in ('0', '0ms') then
    perform set_config('lock_timeout', '10s', true);
  end if;
  perform pg_advisory_xact_lock(v_key);
  return jsonb_build_object(
    'gate', p_key,
    'status', 'closed',
    'waited_ms', round(extract(epoch from clock_timestamp() - v_started_at)::numeric * 1000, 1)
  );
exception
  when lock_not_available then
    select string_agg(format('pid %s (%s, %s)', l.pid, s.usename, s.application_name), ', ' order by l.pid)
    into v_pids
    from pg_locks as l
    left join pg_stat_activity as s on s.pid = l.pid
    where l.locktype = 'advisory'
      and l.database = (select oid from pg_database where datname = current_database())
      and l.objsubid = 1
      and ((l.classid::bigint << 32) | l.objid::bigint) = v_key
      and l.granted
      and l.pid <> pg_backend_pid();
    raise exception using
      errcode = 'lock_not_available',
      message = format('gate %s is closed, and a run is still under way: %s', p_key, coalesce(v_pids, 'it ended this moment')),
      hint = 'Nothing new can start. Wait for it, or end it; then call this again.';
end
$$;
comment on function fn_iu_gate_wait(text) is
  'Layer worker. After a gate was closed and that was committed: waits until nothing runs; names the pids when lock_timeout ends first.';

create function fn_iu_outbox_rebase(p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: after a restore into another cluster, opens the new epoch and lets every cursor count in it; events of the old
--       epoch that are still undecided come first.
-- called by: operators, once the restored database is the one that counts.
-- locks: exclusive side of the worker's advisory lock, under lock_timeout; the cursors.
-- raises: invalid_parameter_value without actor or reason.
declare
  v_epoch integer;
  v_cursors integer;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'a rebase names who asks for it and why',
      hint = 'Give actor and reason. Nothing was changed.';
  end if;
  perform pg_advisory_xact_lock(fn_iu_worker_lock_key());
  v_epoch := fn_iu_outbox_epoch();
  update iu_route_worker_cursor
  set system_identifier = fn_iu_system_identifier()
  where iu_route_worker_cursor.system_identifier <> fn_iu_system_identifier();
  get diagnostics v_cursors = row_count;
  return jsonb_build_object('epoch', v_epoch, 'cursors_rebased', v_cursors, 'actor', p_actor, 'reason', p_reason);
end
$$;
comment on function fn_iu_outbox_rebase(text, text) is
  'Layer worker. After a restore into another cluster: opens the new epoch and lets every cursor count in it.';

alter view v_iu_route_attempt_summary owner to iu_core_owner;
alter view v_iu_event_backlog owner to iu_core_owner;
alter view v_iu_route_dead_letter_open owner to iu_core_owner;
alter function fn_iu_worker_lock_key() owner to iu_core_owner;
alter function fn_iu_delivery_open(text) owner to iu_core_owner;
alter function fn_iu_route_deliver(text, uuid, jsonb) owner to iu_core_owner;
alter function fn_iu_route_seam_fails_closed() owner to iu_core_owner;
alter function fn_iu_route_decide(text, uuid[], text, integer) owner to iu_core_owner;
alter function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text) owner to iu_core_owner;
alter function fn_iu_worker_no_op(text) owner to iu_core_owner;
alter function fn_iu_route_worker_run(text, integer) owner to iu_core_owner;
alter function fn_iu_route_dead_letter_replay(uuid, text, text) owner to iu_core_owner;
alter function fn_iu_horizon_blocker() owner to iu_core_owner;
alter function fn_iu_route_worker_health() owner to iu_core_owner;
alter function fn_iu_conservation() owner to iu_core_owner;
alter function fn_iu_gate_close(text, text, text) owner to iu_core_owner;
alter function fn_iu_gate_wait(text) owner to iu_core_owner;
alter function fn_iu_outbox_rebase(text, text) owner to iu_core_owner;

revoke all on table v_iu_route_attempt_summary, v_iu_event_backlog, v_iu_route_dead_letter_open from public;
revoke all on function fn_iu_worker_lock_key() from public;
revoke all on function fn_iu_delivery_open(text) from public;
revoke all on function fn_iu_route_deliver(text, uuid, jsonb) from public;
revoke all on function fn_iu_route_seam_fails_closed() from public;
revoke all on function fn_iu_route_decide(text, uuid[], text, integer) from public;
revoke all on function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text) from public;
revoke all on function fn_iu_worker_no_op(text) from public;
revoke all on function fn_iu_route_worker_run(text, integer) from public;
revoke all on function fn_iu_route_dead_letter_replay(uuid, text, text) from public;
revoke all on function fn_iu_horizon_blocker() from public;
revoke all on function fn_iu_route_worker_health() from public;
revoke all on function fn_iu_conservation() from public;
revoke all on function fn_iu_gate_close(text, text, text) from public;
revoke all on function fn_iu_gate_wait(text) from public;
revoke all on function fn_iu_outbox_rebase(text, text) from public;
grant select on table v_iu_route_attempt_summary, v_iu_event_backlog, v_iu_route_dead_letter_open
  to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_worker_run(text, integer) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_dead_letter_replay(uuid, text, text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_horizon_blocker() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_worker_health() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_conservation() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_deliver(text, uuid, jsonb) to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_seam_fails_closed() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_gate_close(text, text, text) to iu_core_operator;
grant execute on function fn_iu_gate_wait(text) to iu_core_operator;
grant execute on function fn_iu_outbox_rebase(text, text) to iu_core_operator;
