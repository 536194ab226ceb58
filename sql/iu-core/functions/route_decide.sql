-- does:      installs the deciding about events by name, which replays and releases use, and the recording of a failure.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_decide(
  p_worker_code text,
  p_event_ids uuid[],
  p_route_code text default null,
  p_again boolean default false,
  p_detail jsonb default '{}'
)
  returns integer
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: routes named events as their routes are now, in one statement, in the order of their subjects: the first decision
--       where there is none yet, or, again, one more attempt under the same key. An event that has been retired is taken
--       from its dead letter. A live event whose target lies outside the database is queued instead, unless it is already.
--       Answers how many attempts it wrote.
-- called by: replay, release of held and of blocked events.
-- locks: the new rows; the caller holds the dead letter, the held row, or the cursor.
-- raises: whatever a filter or the seam raises, which records nothing of the set.
declare
  v_recorded integer;
  v_queued uuid[];
begin
  with
    asked as materialized (
      select event_outbox.*
      from event_outbox
      where event_outbox.id = any (p_event_ids)
      union all
      select kept.*
      from iu_route_dead_letter
      cross join lateral jsonb_populate_record(null::event_outbox, iu_route_dead_letter.event) as kept
      -- By their keys, which are indexed and name event, route and worker.
      where iu_route_dead_letter.idempotency_key = any (array(
          select asked_id::text || ':' || coalesce(p_route_code, '-') || ':' || p_worker_code
          from unnest(p_event_ids) as asked_id
        ))
        and not exists (
          select
          from event_outbox
          where event_outbox.id = iu_route_dead_letter.event_id
        )
    ),
    matched as (
      select
        asked.id as event_id,
        asked.event_domain,
        asked.event_type,
        asked.event_subject,
        asked.subject_seq,
        asked.created_at,
        asked.payload,
        route.route_code,
        route.target_kind,
        route.target_ref,
        route.decision = 'live' and route.is_queued as is_queued,
        coalesce(route.decision, 'no_route') as decision,
        asked.id::text || ':' || coalesce(route.route_code, '-') || ':' || p_worker_code as idempotency_key
      from asked
      left join fn_iu_routes_now() as route
        on route.event_domain = asked.event_domain
        and route.event_type = asked.event_type
        and (route.event_filter is null or fn_iu_route_takes(route.event_filter, asked.payload))
        and (p_route_code is null or route.route_code = p_route_code)
      where p_route_code is null
        or route.route_code is not null
    ),
    undecided as materialized (
      select
        matched.*,
        1 + greatest(
          (
            select coalesce(max(iu_route_attempt.attempt_no), 0)
            from iu_route_attempt
            where iu_route_attempt.idempotency_key = matched.idempotency_key
          ),
          (
            select coalesce(max((iu_route_dead_letter.last_attempt ->> 'attempt_no')::integer), 0)
            from iu_route_dead_letter
            where iu_route_dead_letter.idempotency_key = matched.idempotency_key
          )
        ) as attempt_no
      from matched
    ),
    asked_for as materialized (
      select undecided.*
      from undecided
      where (p_again or undecided.attempt_no = 1)
        and not exists (
          select
          from iu_route_delivery
          where iu_route_delivery.event_id = undecided.event_id
            and iu_route_delivery.route_code = undecided.route_code
            and iu_route_delivery.worker_code = p_worker_code
        )
    ),
    queued as (
      insert into iu_route_delivery (
        event_id, route_code, worker_code, attempt_no, target_kind, target_ref, request, safe_payload, detail)
      select
        asked_for.event_id, asked_for.route_code, p_worker_code, asked_for.attempt_no, asked_for.target_kind,
        asked_for.target_ref,
        fn_iu_delivery_request(
          asked_for.route_code, asked_for.target_kind, asked_for.target_ref, asked_for.event_id, asked_for.event_domain,
          asked_for.event_type, asked_for.event_subject, asked_for.subject_seq, asked_for.created_at),
        asked_for.payload, p_detail
      from asked_for
      where asked_for.is_queued
      on conflict do nothing
      returning iu_route_delivery.event_id, iu_route_delivery.route_code
    ),
    delivered as materialized (
      select
        asked_for.*,
        case
          when asked_for.is_queued then '{"status": "skipped", "detail": {"because": "another worker has queued it"}}'
          when asked_for.decision = 'live' then fn_iu_route_deliver(
            asked_for.route_code,
            asked_for.event_id,
            fn_iu_delivery_request(
              asked_for.route_code, asked_for.target_kind, asked_for.target_ref, asked_for.event_id,
              asked_for.event_domain, asked_for.event_type, asked_for.event_subject, asked_for.subject_seq,
              asked_for.created_at)
              || jsonb_build_object('safe_payload', asked_for.payload, 'worker_code', p_worker_code))
        end as outcome
      from asked_for
      -- As a list, which is hashed: joined, every event is looked for among all.
      where not asked_for.is_queued
        or (asked_for.event_id, asked_for.route_code) not in (
          select queued.event_id, queued.route_code
          from queued
        )
      order by asked_for.route_code, asked_for.event_subject, asked_for.subject_seq, asked_for.event_id
    ),
    recorded as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered,
        target_kind, target_ref, failure_code, detail)
      select
        delivered.idempotency_key,
        delivered.attempt_no,
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
        coalesce(delivered.outcome -> 'detail', '{}') || p_detail
      from delivered
      returning 1
    )
  select
    (select count(*) from recorded),
    (select array_agg(queued.event_id) from queued)
  into v_recorded, v_queued;
  if v_queued is not null and exists (
    select
    from iu_route_worker_cursor
    where iu_route_worker_cursor.cursor_code <> p_worker_code
  ) then
    v_recorded := v_recorded + fn_iu_delivery_yield(p_worker_code, v_queued);
  end if;
  perform fn_iu_check_deferred();
  return v_recorded;
end
$$;
comment on function fn_iu_route_decide(text, uuid[], text, boolean, jsonb) is
  'Layer worker. Routes named events as their routes are now: first decisions, or one more attempt under the same key; returns how many.';

create function fn_iu_delivery_yield(p_worker_code text, p_event_ids uuid[])
  returns integer
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: takes what this worker has just queued out of the queue again where another one has delivered the same event to the
--       same route meanwhile, and records that; answers how many. It has a snapshot of its own, taken after the rows of the
--       queue were had.
-- called by: fn_iu_route_worker_pass, fn_iu_route_decide, where there are several workers.
-- locks: the rows; raises: nothing.
declare
  v_yielded integer;
begin
  with
    yielded as (
      delete from iu_route_delivery
      where iu_route_delivery.event_id = any (p_event_ids)
        and iu_route_delivery.worker_code = p_worker_code
        and iu_route_delivery.lease_token is null
        and exists (
          select
          from iu_route_attempt
          where iu_route_attempt.idempotency_key >=
              iu_route_delivery.event_id::text || ':' || iu_route_delivery.route_code || ':'
            and iu_route_attempt.idempotency_key <
              iu_route_delivery.event_id::text || ':' || iu_route_delivery.route_code || ';'
            and iu_route_attempt.status = 'sent'
            and iu_route_attempt.worker_code <> p_worker_code
        )
      returning iu_route_delivery.*
    ),
    recorded as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, target_kind, target_ref, detail)
      select
        yielded.event_id::text || ':' || yielded.route_code || ':' || p_worker_code,
        yielded.attempt_no, yielded.event_id, yielded.route_code, p_worker_code, 'skipped', 'skipped',
        yielded.target_kind, yielded.target_ref,
        yielded.detail || '{"because": "another worker has delivered it"}'
      from yielded
      returning 1
    )
  select count(*)
  into v_yielded
  from recorded;
  return v_yielded;
end
$$;
comment on function fn_iu_delivery_yield(text, uuid[]) is
  'Layer worker. Leaves to another worker what that one has delivered meanwhile; returns how many attempts say so.';

create function fn_iu_failure_fingerprint(p_route_code text, p_failure_code text, p_detail jsonb)
  returns text
  language sql
  immutable
  set search_path from current
as $$
-- does: what failures of one kind have in common: route, code, SQLSTATE and message without the values in it.
-- called by: fn_iu_route_record_failure, fn_iu_route_delivery_settle; locks: none; raises: nothing.
select left(
  encode(
    sha256(convert_to(
      coalesce(p_route_code, '-') || ' ' || p_failure_code || ' ' || coalesce(p_detail ->> 'sqlstate', '-') || ' '
        || regexp_replace(
          coalesce(p_detail ->> 'message', ''), '''[^'']*''|"[^"]*"|[0-9a-f]{8}-[0-9a-f-]{27}|\d+', '#', 'g'),
      'UTF8')),
    'hex'),
  16)
$$;
comment on function fn_iu_failure_fingerprint(text, text, jsonb) is
  'Layer worker. 16 hex digits, equal for failures of one route and code whose message differs only in its values.';

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
  set plan_cache_mode = force_generic_plan
as $$
-- does: records a failed attempt and its dead letter: a new snapshot, or the newest failure of the letter that is there.
-- called by: fn_iu_route_worker_fail, replay, the releases.
-- locks: the letter's row.
-- raises: nothing of its own.
declare
  v_key constant text := p_event_id::text || ':' || coalesce(p_route_code, '-') || ':' || p_worker_code;
  v_detail constant jsonb := jsonb_build_object('sqlstate', p_sqlstate, 'message', left(p_message, 2000));
  -- A target that answered `failed` is not a worker that could not process.
  v_code constant text := case p_sqlstate when 'SL009' then 'target_failed' else p_failure_code end;
begin
  with
    tried as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status,
        target_kind, target_ref, failure_code, detail)
      select
        v_key, p_attempt_no, p_event_id, p_route_code, p_worker_code, 'failed', 'failed',
        iu_outbound_route.target_kind, iu_outbound_route.target_ref, v_code, v_detail
      from (values (p_route_code)) as failed (route_code)
      left join iu_outbound_route on iu_outbound_route.route_code = failed.route_code
      returning iu_route_attempt.*
    )
  insert into iu_route_dead_letter (
    idempotency_key, event_id, route_code, worker_code, event, route, last_attempt,
    failure_code, failure_detail, fingerprint, first_failure)
  select
    v_key, p_event_id, p_route_code, p_worker_code,
    -- An event that has been retired is replayed from its letter, and has one.
    coalesce(
      to_jsonb(event_outbox),
      (
        select letter.event
        from iu_route_dead_letter as letter
        where letter.idempotency_key = v_key
      )),
    to_jsonb(iu_outbound_route), to_jsonb(tried),
    v_code, v_detail, fn_iu_failure_fingerprint(p_route_code, v_code, v_detail),
    jsonb_build_object('attempt_no', p_attempt_no, 'failure_code', v_code, 'detail', v_detail)
  from tried
  left join event_outbox on event_outbox.id = p_event_id
  left join iu_outbound_route on iu_outbound_route.route_code = p_route_code
  on conflict (idempotency_key) do update
  set
    last_attempt = excluded.last_attempt,
    failure_code = excluded.failure_code,
    failure_detail = excluded.failure_detail,
    fingerprint = excluded.fingerprint,
    last_failed_at = excluded.last_failed_at,
    replay_count = iu_route_dead_letter.replay_count + 1
  -- One that was discarded while its replay was under way stays as it is.
  where iu_route_dead_letter.state in ('open', 'parked');
end
$$;
comment on function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text) is
  'Layer worker. Records a failed attempt together with its dead letter.';

create function fn_iu_passes_on(p_sqlstate text)
  returns boolean
  language sql
  immutable
  parallel safe
  set search_path from current
as $$
-- does: whether an error is no fault of an event and goes to the caller, who may try again: a transaction that was rolled
--       back by the server, no resources, a cancelled or timed-out statement, a lock not had in time.
-- called by: every place that would otherwise make a dead letter of it; locks: none; raises: nothing.
select p_sqlstate ~ '^(25|40|53|57)' or p_sqlstate = '55P03'
$$;
comment on function fn_iu_passes_on(text) is
  'Layer worker. Whether an error is passed on to be tried again, instead of becoming a dead letter.';

create function fn_iu_check_deferred()
  returns void
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: checks now what constraints of the targets put off until COMMIT, where it would take the whole batch down; a probe is
--       never committed, and its marker is such a constraint.
-- called by: fn_iu_route_worker_pass, fn_iu_route_decide, after functions of the database were delivered to; locks: none.
-- raises: what such a constraint raises.
begin
  if exists (
    select
    from iu_outbound_route
    where iu_outbound_route.target_kind = 'sql_function'
      and iu_outbound_route.enabled
      and not iu_outbound_route.dry_run
  ) and exists (
    select
    from pg_constraint
    where pg_constraint.condeferred
      and pg_constraint.conrelid <> 'iu_probe_marker'::regclass
  ) and not fn_iu_in_probe() then
    set constraints all immediate;
    set constraints all deferred;
  end if;
end
$$;
comment on function fn_iu_check_deferred() is
  'Layer worker. Checks constraints of the targets at the end of a batch that would otherwise raise at COMMIT.';

alter function fn_iu_route_decide(text, uuid[], text, boolean, jsonb) owner to iu_core_owner;
alter function fn_iu_delivery_yield(text, uuid[]) owner to iu_core_owner;
alter function fn_iu_failure_fingerprint(text, text, jsonb) owner to iu_core_owner;
alter function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text) owner to iu_core_owner;
alter function fn_iu_passes_on(text) owner to iu_core_owner;
alter function fn_iu_check_deferred() owner to iu_core_owner;

revoke all on function fn_iu_route_decide(text, uuid[], text, boolean, jsonb) from public;
revoke all on function fn_iu_delivery_yield(text, uuid[]) from public;
revoke all on function fn_iu_failure_fingerprint(text, text, jsonb) from public;
revoke all on function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text) from public;
revoke all on function fn_iu_passes_on(text) from public;
revoke all on function fn_iu_check_deferred() from public;
