-- does:      installs the settling of deliveries, and the recall of queued ones.
-- called by: macro delivery-seam.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_dead_letters_resolve(p_keys text[], p_actors text[], p_reasons text[], p_attempts jsonb[])
  returns void
  language sql
  volatile
  set search_path from current
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = on
  set enable_mergejoin = off
  set enable_nestloop = off
  set jit = off
as $$
-- does: resolves the open or parked letters of these keys, each with who asked for its replay, why, and its newest attempt.
-- called by: fn_iu_route_delivery_settle; locks: the letters; raises: nothing.
update iu_route_dead_letter
set
  state = 'resolved',
  state_actor = done.actor,
  state_reason = done.reason,
  state_at = clock_timestamp(),
  last_attempt = done.attempt,
  replay_count = iu_route_dead_letter.replay_count + 1
from unnest(p_keys, p_actors, p_reasons, p_attempts) as done (key, actor, reason, attempt)
-- By the list, which the index answers; joined alone, every letter there is would be read.
where iu_route_dead_letter.idempotency_key = any (p_keys)
  and iu_route_dead_letter.idempotency_key = done.key
  and iu_route_dead_letter.state in ('open', 'parked')
$$;
comment on function fn_iu_dead_letters_resolve(text[], text[], text[], jsonb[]) is
  'Layer delivery. Resolves the letters whose replays were delivered.';

create function fn_iu_route_delivery_settle(p_route_code text, p_lease_token uuid, p_outcomes jsonb)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
-- does: records what became of leased deliveries: an attempt each; what was sent or skipped leaves the queue, and its dead
--       letter, where it is a replay, is resolved; what failed and may be tried again stays, due later, with the bytes that
--       were sent; the rest becomes a dead letter. What the token does not hold any more is refused: of that nothing is
--       written. First tries that went well, which is most of them, are recorded by a statement of their own that has no
--       letter to care for; the other one is only run where that leaves something. Then tells the breaker, switches the route
--       off where its target is gone for good, and lets held events of an ordered route go whose turn has come. Gates are not
--       asked: what was done is recorded.
-- called by: the delivery activity, in a transaction of its own; repeating it is safe.
-- locks: the rows, their dead letters, the breaker's row; the cursor's row, by try, for an ordered route.
-- raises: invalid_parameter_value where p_outcomes is no array; unique_violation where it names an event twice;
--         not_null_violation for a status that is no outcome; whatever else a constraint of the audit refuses.
declare
  v_sum record;
  v_breaker text := 'closed';
  v_disabled boolean := false;
  v_worker_code text;
begin
  if p_lease_token is null or jsonb_typeof(p_outcomes) is distinct from 'array' then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'a settling names its lease and gives an array of outcomes',
      hint = 'Nothing was changed.';
  end if;
  with
    good as materialized (
      select
        o.event_id,
        o.status,
        coalesce(o.delivered, false) as delivered,
        coalesce(o.detail, '{}') as detail,
        o.body_sha256
      from jsonb_to_recordset(p_outcomes) as o (
        event_id uuid,
        status text,
        delivered boolean,
        message text,
        detail jsonb,
        disables_route boolean,
        body_sha256 text
      )
      where o.status in ('sent', 'skipped')
        and o.message is null
        and o.disables_route is not true
    ),
    gone as (
      delete from iu_route_delivery
      using good
      where iu_route_delivery.event_id = good.event_id
        -- No bound of an index: as one, a plan that was made early reads the whole queue of the route by it.
        and iu_route_delivery.route_code is not distinct from p_route_code
        and iu_route_delivery.lease_token = p_lease_token
        and iu_route_delivery.attempt_no = 1
      returning
        iu_route_delivery.event_id,
        iu_route_delivery.route_code,
        iu_route_delivery.worker_code,
        iu_route_delivery.target_kind,
        iu_route_delivery.target_ref,
        good.status,
        good.delivered,
        iu_route_delivery.detail
          || good.detail
          || jsonb_strip_nulls(jsonb_build_object(
            'body_sha256', coalesce(iu_route_delivery.body_sha256, good.body_sha256))) as detail
    ),
    recorded as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered,
        target_kind, target_ref, detail, created_at)
      select
        gone.event_id::text || ':' || gone.route_code || ':' || gone.worker_code, 1, gone.event_id, gone.route_code,
        gone.worker_code, gone.status, gone.status, gone.delivered, gone.target_kind, gone.target_ref, gone.detail,
        clock_timestamp()
      from gone
      returning event_id, worker_code, status
    )
  select
    count(*) as settled,
    count(*) filter (where recorded.status = 'sent') as sent,
    count(*) filter (where recorded.status = 'skipped') as skipped,
    0::bigint as retried,
    0::bigint as dead_lettered,
    count(*) as first_tries,
    0::bigint as first_failures,
    0::bigint as failures,
    null::text as failure_code,
    null::text as gone_target_ref,
    jsonb_array_length(p_outcomes) - count(*) as refused,
    array_agg(distinct recorded.worker_code) as worker_codes,
    array_agg(recorded.event_id) as event_ids
  into v_sum
  from recorded;

  if v_sum.refused > 0 then
    -- The statement above takes one of the outcomes of an event, and does not see that there are two.
    if (
      select count(distinct (outcome ->> 'event_id')::uuid) < count(outcome ->> 'event_id')
      from jsonb_array_elements(p_outcomes) as outcome
    ) then
      raise exception using
        errcode = 'unique_violation',
        message = 'a settling names an event twice',
        hint = 'Nothing was changed.';
    end if;
    with
      outcome as materialized (
        select *
        from jsonb_to_recordset(p_outcomes) as o (
          event_id uuid,
          status text,
          delivered boolean,
          code text,
          message text,
          detail jsonb,
          retry_ms bigint,
          disables_route boolean,
          body_sha256 text,
          body text
        )
      ),
      mine as materialized (
        select
          held.*,
          held.event_id::text || ':' || held.route_code || ':' || held.worker_code as idempotency_key,
          -- Any other decision of the audit is none of a target's to make: null, which the audit refuses.
          case when outcome.status in ('sent', 'skipped', 'failed') then outcome.status end as status,
          coalesce(outcome.delivered, false) as delivered,
          case when outcome.status = 'failed' then coalesce(outcome.code, 'target_failed') end as failure_code,
          held.detail
            || coalesce(outcome.detail, '{}')
            || jsonb_strip_nulls(jsonb_build_object(
              'message', left(outcome.message, 2000),
              'body_sha256', coalesce(held.body_sha256, outcome.body_sha256))) as attempt_detail,
          outcome.retry_ms,
          coalesce(outcome.disables_route, false) as disables_route,
          outcome.body_sha256 as sent_sha256,
          outcome.body as sent_body,
          case
            when outcome.status is distinct from 'failed' then 'done'
            -- The tries of a planned replay are counted by its plan.
            when outcome.retry_ms is not null and not held.detail ? 'plan' then 'again'
            else 'dead'
          end as next_state,
          clock_timestamp() as tried_at
        from outcome
        -- One look-up for each outcome: as a plain join it reads the whole queue of the route where the plan was made early.
        cross join lateral (
          select
            iu_route_delivery.ctid as place,
            iu_route_delivery.event_id,
            iu_route_delivery.route_code,
            iu_route_delivery.worker_code,
            iu_route_delivery.attempt_no,
            iu_route_delivery.tries,
            iu_route_delivery.target_kind,
            iu_route_delivery.target_ref,
            iu_route_delivery.detail,
            iu_route_delivery.body_sha256
          from iu_route_delivery
          where iu_route_delivery.event_id = outcome.event_id
            and iu_route_delivery.route_code = p_route_code
            and iu_route_delivery.lease_token = p_lease_token
          for update
        ) as held
      ),
      recorded as (
        insert into iu_route_attempt (
          idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered,
          target_kind, target_ref, failure_code, detail, created_at)
        select
          mine.idempotency_key, mine.attempt_no, mine.event_id, mine.route_code, mine.worker_code, mine.status, mine.status,
          mine.delivered, mine.target_kind, mine.target_ref, mine.failure_code, mine.attempt_detail, mine.tried_at
        from mine
        returning 1
      ),
      -- What goes into a letter, with its attempt as a row of the audit; joining the rows that were written takes a look at
      -- each of them for each of these.
      told as materialized (
        select
          mine.*,
          (
            select to_jsonb(attempt)
            from (
              select
                mine.idempotency_key, mine.attempt_no, mine.event_id, mine.route_code, mine.worker_code,
                mine.status as decision, mine.status, mine.delivered, mine.target_kind, mine.target_ref, mine.failure_code,
                mine.attempt_detail as detail, pg_current_xact_id() as xact_id, mine.tried_at as created_at
            ) as attempt
          ) as attempt
        from mine
        where mine.next_state = 'dead'
          or mine.next_state = 'done' and mine.attempt_no > 1
      ),
      gone as (
        -- By their places: they are locked, and nobody moves them.
        delete from iu_route_delivery
        using mine
        where iu_route_delivery.ctid = mine.place
          and mine.next_state <> 'again'
      ),
      kept as (
        update iu_route_delivery
        set
          attempt_no = iu_route_delivery.attempt_no + 1,
          tries = iu_route_delivery.tries + 1,
          due_at = clock_timestamp() + make_interval(secs => greatest(mine.retry_ms, 0) / 1000.0),
          lease_token = null,
          body = coalesce(iu_route_delivery.body, decode(mine.sent_body, 'base64')),
          body_sha256 = coalesce(iu_route_delivery.body_sha256, mine.sent_sha256)
        from mine
        where iu_route_delivery.ctid = mine.place
          and mine.next_state = 'again'
      ),
      buried as (
        insert into iu_route_dead_letter (
          idempotency_key, event_id, route_code, worker_code, event, route, last_attempt,
          failure_code, failure_detail, fingerprint, first_failure)
        select
          told.idempotency_key, told.event_id, told.route_code, told.worker_code,
          -- An event that has been retired is replayed from its letter, and has one.
          coalesce(
            (
              -- A range in the order of the ids is read from the index of the ids, also in a partition that was empty when
              -- the plan was made.
              select to_jsonb(event_outbox)
              from event_outbox
              where event_outbox.id >= told.event_id
                and event_outbox.id <= told.event_id
              order by event_outbox.id
              limit 1
            ),
            (
              select letter.event
              from iu_route_dead_letter as letter
              where letter.idempotency_key = told.idempotency_key
            )),
          (
            select to_jsonb(iu_outbound_route)
            from iu_outbound_route
            where iu_outbound_route.route_code = told.route_code
          ),
          told.attempt, told.failure_code, told.attempt_detail,
          fn_iu_failure_fingerprint(told.route_code, told.failure_code, told.attempt_detail),
          jsonb_build_object(
            'attempt_no', told.attempt_no, 'failure_code', told.failure_code, 'detail', told.attempt_detail)
        from told
        where told.next_state = 'dead'
        on conflict (idempotency_key) do update
        set
          last_attempt = excluded.last_attempt,
          failure_code = excluded.failure_code,
          failure_detail = excluded.failure_detail,
          fingerprint = excluded.fingerprint,
          last_failed_at = excluded.last_failed_at,
          replay_count = iu_route_dead_letter.replay_count + 1
        -- One that was discarded while its replay was under way stays as it is.
        where iu_route_dead_letter.state in ('open', 'parked')
      )
    select
      v_sum.settled + count(*) as settled,
      v_sum.sent + count(*) filter (where mine.status = 'sent') as sent,
      v_sum.skipped + count(*) filter (where mine.status = 'skipped') as skipped,
      count(*) filter (where mine.next_state = 'again') as retried,
      count(*) filter (where mine.next_state = 'dead') as dead_lettered,
      v_sum.first_tries + count(*) filter (where mine.tries = 0 and mine.is_of_the_target) as first_tries,
      count(*) filter (where mine.tries = 0 and mine.is_of_the_target and mine.status = 'failed') as first_failures,
      count(*) filter (where mine.is_of_the_target and mine.status = 'failed') as failures,
      max(mine.failure_code) as failure_code,
      (array_agg(mine.target_ref) filter (where mine.disables_route))[1] as gone_target_ref,
      v_sum.refused - count(*) as refused,
      v_sum.worker_codes || array_agg(distinct mine.worker_code) as worker_codes,
      v_sum.event_ids || array_agg(mine.event_id) filter (where mine.next_state <> 'again') as event_ids,
      -- In one order, that of the rows as they are kept.
      (select array_agg(told.idempotency_key) from told where told.next_state = 'done') as done_keys,
      (
        select array_agg(coalesce(told.detail ->> 'replayed_by', told.detail ->> 'released_by', told.worker_code))
        from told
        where told.next_state = 'done'
      ) as done_actors,
      (select array_agg(coalesce(told.detail ->> 'reason', 'delivered')) from told where told.next_state = 'done') as done_reasons,
      (select array_agg(told.attempt) from told where told.next_state = 'done') as done_attempts
    into v_sum
    from (
      select
        mine.*,
        -- What is wrong with one event tells nothing about the target.
        coalesce(mine.failure_code not in ('payload_too_large', 'request_invalid'), true) as is_of_the_target
      from mine
    ) as mine;
    if v_sum.done_keys is not null then
      perform fn_iu_dead_letters_resolve(v_sum.done_keys, v_sum.done_actors, v_sum.done_reasons, v_sum.done_attempts);
    end if;
  end if;

  if v_sum.settled > 0 then
    v_breaker := fn_iu_route_breaker_note(
      p_route_code, v_sum.first_tries::integer, v_sum.first_failures::integer,
      (v_sum.sent + v_sum.skipped)::integer, v_sum.failures::integer, v_sum.failure_code);
  end if;
  if v_sum.gone_target_ref is not null then
    perform
      set_config('sluice.actor', 'delivery', true),
      set_config('sluice.reason', 'the target is gone for good', true);
    update iu_outbound_route
    set
      enabled = false,
      disabled_by = 'delivery: the target is gone'
    where iu_outbound_route.route_code = p_route_code
      and iu_outbound_route.target_ref = v_sum.gone_target_ref
      and iu_outbound_route.enabled;
    v_disabled := found;
  end if;

  if v_sum.settled > v_sum.retried and exists (
    select
    from iu_route_held
    where iu_route_held.route_code = p_route_code
  ) then
    for v_worker_code in
      select distinct worker.code
      from unnest(v_sum.worker_codes) as worker (code)
      order by worker.code
    loop
      perform fn_iu_route_delivery_followers(v_worker_code, p_route_code, v_sum.event_ids);
    end loop;
  end if;
  return jsonb_build_object(
    'settled', v_sum.settled,
    'sent', v_sum.sent,
    'skipped', v_sum.skipped,
    'retried', v_sum.retried,
    'dead_lettered', v_sum.dead_lettered,
    'refused', v_sum.refused,
    'route_disabled', v_disabled,
    'breaker', v_breaker
  );
end
$$;
comment on function fn_iu_route_delivery_settle(text, uuid, jsonb) is
  'Layer delivery. Records what became of leased deliveries, as one set, fenced by the lease; returns the counts.';

create function fn_iu_route_delivery_followers(p_worker_code text, p_route_code text, p_event_ids uuid[])
  returns void
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: lets the events of a route go that were held back behind settled ones, where the worker is open, nobody has its
--       cursor, and the route leaves the database: no function is called in the transaction of a settling. Otherwise the
--       worker's next run does it, and an error is left to that run, too.
-- called by: fn_iu_route_delivery_settle.
-- locks: the cursor's row, by try; what a run locks.
-- raises: what another try may cure.
begin
  if fn_iu_worker_enter('a release of held events') is null and exists (
    select
    from iu_outbound_route
    where iu_outbound_route.route_code = p_route_code
      and fn_iu_delivery_is_queued(iu_outbound_route.target_kind)
  ) then
    perform
    from iu_route_worker_cursor
    where iu_route_worker_cursor.cursor_code = p_worker_code
      and iu_route_worker_cursor.paused_because is null
    for update skip locked;
    if found then
      perform fn_iu_route_held_release(p_worker_code, 1000, p_route_code, p_event_ids);
    end if;
  end if;
exception
  when others then
    if fn_iu_passes_on(sqlstate) then
      raise;
    end if;
end
$$;
comment on function fn_iu_route_delivery_followers(text, text, uuid[]) is
  'Layer delivery. Lets held events go after a delivery was settled, where nobody else does it.';

create function fn_iu_route_delivery_recall(p_route_code text, p_limit integer, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: takes queued deliveries of a route that is not live out of the queue, each with its attempt: dry_run where the route
--       is in dry run, skipped where it is switched off. What somebody delivers at this moment stays.
-- called by: sluice route dry-run, macro delivery-live.
-- locks: the rows, passing over those that somebody has.
-- raises: invalid_parameter_value without actor or reason; SL008 for a bad limit, an unknown route, or a live one.
declare
  v_max_batch constant integer := fn_iu_config_positive_int('iu_core.delivery_max_batch');
  v_held constant uuid[] := fn_iu_route_leases_held(p_route_code);
  v_route iu_outbound_route;
  v_decision text;
  v_recalled integer;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'a recall names who asks for it and why',
      hint = 'Give actor and reason. Nothing was changed.';
  end if;
  select iu_outbound_route.*
  into v_route
  from iu_outbound_route
  where iu_outbound_route.route_code = p_route_code
  for share;
  if not found or (v_route.enabled and not v_route.dry_run) or (p_limit between 1 and v_max_batch) is not true then
    raise exception using
      errcode = 'SL008',
      message = format('%s deliveries of route %s cannot be recalled: %s', coalesce(p_limit::text, 'null'),
        coalesce(p_route_code, 'null'), case
          when v_route.route_code is null then 'there is no such route'
          when v_route.enabled and not v_route.dry_run then 'it is live'
          else 'the limit is out of bounds'
        end),
      hint = format('Set the route to dry run or switch it off first; 1 to %s at a time. Nothing was changed.', v_max_batch);
  end if;
  v_decision := case when v_route.dry_run and v_route.enabled then 'dry_run' else 'skipped' end;
  with
    -- Materialized: as a part of the join it may be run, and so may take rows, more than once.
    queued as materialized (
      select iu_route_delivery.ctid as place
      from iu_route_delivery
      where iu_route_delivery.route_code || '' = p_route_code
        and (
          iu_route_delivery.lease_token is null
          or iu_route_delivery.lease_token <> all (v_held)
            and not fn_iu_route_lease_is_held(iu_route_delivery.lease_token)
        )
      order by iu_route_delivery.due_at
      limit p_limit
      for update skip locked
    ),
    recalled as (
      delete from iu_route_delivery
      using queued
      where iu_route_delivery.ctid = queued.place
      returning iu_route_delivery.*
    ),
    recorded as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, target_kind, target_ref, detail)
      select
        recalled.event_id::text || ':' || recalled.route_code || ':' || recalled.worker_code,
        recalled.attempt_no, recalled.event_id, recalled.route_code, recalled.worker_code, v_decision, v_decision,
        v_route.target_kind, v_route.target_ref,
        recalled.detail || jsonb_build_object('recalled_by', p_actor, 'reason', p_reason, 'tries', recalled.tries)
      from recalled
      returning 1
    )
  select count(*)
  into v_recalled
  from recorded;
  return jsonb_build_object(
    'recalled', v_recalled,
    'still_queued', (
      select count(*)
      from iu_route_delivery
      where iu_route_delivery.route_code || '' = p_route_code
    )
  );
end
$$;
comment on function fn_iu_route_delivery_recall(text, integer, text, text) is
  'Layer delivery. Takes queued deliveries of a route that is not live out of the queue, each with its attempt.';

alter function fn_iu_dead_letters_resolve(text[], text[], text[], jsonb[]) owner to iu_core_owner;
alter function fn_iu_route_delivery_settle(text, uuid, jsonb) owner to iu_core_owner;
alter function fn_iu_route_delivery_followers(text, text, uuid[]) owner to iu_core_owner;
alter function fn_iu_route_delivery_recall(text, integer, text, text) owner to iu_core_owner;

revoke all on function fn_iu_dead_letters_resolve(text[], text[], text[], jsonb[]) from public;
revoke all on function fn_iu_route_delivery_settle(text, uuid, jsonb) from public;
revoke all on function fn_iu_route_delivery_followers(text, text, uuid[]) from public;
revoke all on function fn_iu_route_delivery_recall(text, integer, text, text) from public;
grant execute on function fn_iu_route_delivery_settle(text, uuid, jsonb) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_delivery_recall(text, integer, text, text) to iu_core_operator;
