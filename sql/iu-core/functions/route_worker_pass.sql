-- does:      installs the hot statement of the route worker: a batch claimed, routed and recorded as one set.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_worker_pass(
  p_worker_code text,
  p_epoch integer,
  p_xact_id xid8,
  p_created_at timestamptz,
  p_event_id uuid,
  p_ceiling xid8,
  p_limit integer,
  p_route_code text default null,
  out seen integer,
  out attempts integer,
  out held integer,
  out horizon xid8,
  out epoch integer,
  out xact_id xid8,
  out created_at timestamptz,
  out event_id uuid
)
  language plpgsql
  volatile
  set search_path from current
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
-- does: claims the next events after a keyset in commit order, below the ceiling (null: the high-water mark), and records
--       the first decision about each for every route that takes it, all in one statement; answers how many it saw and the
--       keyset it ends at. What is already recorded under its key is left alone, and the key is decided before anything is
--       delivered. A live event whose target lies outside the database is queued, and has its attempt when the outcome is
--       known. An event of an ordered route waits in iu_route_held while the one before it is not terminal.
-- called by: fn_iu_route_worker_run (the batch) and fn_iu_route_worker_step (one event, or one event and route).
-- locks: the new rows; the caller holds the cursor.
-- raises: whatever a filter or the seam raises, which records nothing of the set.
declare
  v_has_rivals constant boolean := exists (
    select
    from iu_route_worker_cursor
    where iu_route_worker_cursor.cursor_code <> p_worker_code
  );
  v_queued uuid[];
begin
  with
    route as materialized (
      select
        routes_now.*,
        routes_now.decision <> 'live' and not routes_now.is_ordered as is_plain
      from fn_iu_routes_now() as routes_now
      where p_route_code is null
        or routes_now.route_code = p_route_code
    ),
    -- The horizon is read in the same statement as the rows: what is below it has ended, and nothing can appear there.
    claimed as materialized (
      select
        event_outbox.epoch,
        event_outbox.xact_id,
        event_outbox.created_at,
        event_outbox.id,
        event_outbox.event_domain,
        event_outbox.event_type,
        event_outbox.event_subject,
        event_outbox.subject_seq,
        case
          when (select bool_or(route.event_filter is not null or route.decision = 'live') from route)
            then event_outbox.payload
        end as payload
      from event_outbox
      where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
          p_epoch, p_xact_id, p_created_at, p_event_id)
        and (event_outbox.epoch, event_outbox.xact_id) < (
          (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch),
          coalesce(p_ceiling, pg_snapshot_xmin(pg_current_snapshot())))
      order by event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
      limit p_limit
    ),
    first_claimed as (
      select claimed.id
      from claimed
      order by claimed.epoch, claimed.xact_id, claimed.created_at, claimed.id
      limit 1
    ),
    last_claimed as (
      select claimed.epoch, claimed.xact_id, claimed.created_at, claimed.id
      from claimed
      order by claimed.epoch desc, claimed.xact_id desc, claimed.created_at desc, claimed.id desc
      limit 1
    ),
    -- What a worker has decided is one stretch of the commit order: where its first event is new, all of them are.
    repeating as materialized (
      select
        exists (
          select
          from iu_route_attempt
          where iu_route_attempt.idempotency_key >= first_claimed.id::text || ':'
            and iu_route_attempt.idempotency_key < first_claimed.id::text || ';'
            and iu_route_attempt.worker_code = p_worker_code
        )
        or exists (
          select
          from iu_route_held
          where iu_route_held.event_id = first_claimed.id
            and iu_route_held.worker_code = p_worker_code
        )
        or exists (
          select
          from iu_route_delivery
          where iu_route_delivery.event_id = first_claimed.id
            and iu_route_delivery.worker_code = p_worker_code
          offset 0
        ) as may_be_known
      from first_claimed
    ),
    recorded as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, target_kind, target_ref)
      select
        claimed.id::text || ':' || coalesce(route.route_code, '-') || ':' || p_worker_code,
        1,
        claimed.id,
        route.route_code,
        p_worker_code,
        coalesce(route.decision, 'no_route'),
        coalesce(route.decision, 'skipped'),
        route.target_kind,
        route.target_ref
      from claimed
      left join route
        on route.event_domain = claimed.event_domain
        and route.event_type = claimed.event_type
        and (route.event_filter is null or fn_iu_route_takes(route.event_filter, claimed.payload))
      where coalesce(route.is_plain, p_route_code is null)
        and (
          not (select repeating.may_be_known from repeating)
          or not exists (
            select
            from iu_route_attempt
            where iu_route_attempt.idempotency_key =
              claimed.id::text || ':' || coalesce(route.route_code, '-') || ':' || p_worker_code
          )
          -- Queued while the route was live: its attempt comes with the outcome, or with the recall.
          and not exists (
            select
            from iu_route_delivery
            where iu_route_delivery.event_id = claimed.id
              and iu_route_delivery.route_code = route.route_code
              and iu_route_delivery.worker_code = p_worker_code
            offset 0
          )
        )
      returning 1
    ),
    -- Live and ordered routes: fewer events, each looked at by itself.
    with_care as materialized (
      select
        claimed.*,
        route.route_code,
        route.decision,
        route.is_queued,
        route.target_kind,
        route.target_ref,
        route.is_ordered and claimed.subject_seq is not null as is_ordered,
        route.event_filter,
        route.after_dead_letter,
        claimed.id::text || ':' || route.route_code || ':' || p_worker_code as idempotency_key
      from route
      join claimed
        on claimed.event_domain = route.event_domain
        and claimed.event_type = route.event_type
        and (route.event_filter is null or fn_iu_route_takes(route.event_filter, claimed.payload))
      where not route.is_plain
        -- `offset 0` keeps these from becoming joins, which read the whole audit, or a partition that was empty when the plan
        -- was made, from end to end.
        and (
          not (select repeating.may_be_known from repeating)
          or not exists (
            select
            from iu_route_attempt
            where iu_route_attempt.idempotency_key = claimed.id::text || ':' || route.route_code || ':' || p_worker_code
            offset 0
          )
          and not exists (
            select
            from iu_route_held
            where iu_route_held.event_id = claimed.id
              and iu_route_held.route_code = route.route_code
              and iu_route_held.worker_code = p_worker_code
            offset 0
          )
          and not exists (
            select
            from iu_route_delivery
            where iu_route_delivery.event_id = claimed.id
              and iu_route_delivery.route_code = route.route_code
              and iu_route_delivery.worker_code = p_worker_code
            offset 0
          )
        )
    ),
    in_row as materialized (
      select
        with_care.*,
        with_care.is_ordered and lag(with_care.subject_seq) over of_subject = with_care.subject_seq - 1 as follows
      from with_care
      window of_subject as (
        partition by with_care.route_code, with_care.event_domain, with_care.event_subject, with_care.is_ordered
        order by with_care.subject_seq
      )
    ),
    -- The event before one that follows in this very set needs no looking up: numbers have no gap.
    in_place as materialized (
      select
        in_row.*,
        case when prior.state = 'passed_over' then '{"after_dead_letter": true}' else '{}' end::jsonb as after_letter,
        in_row.is_ordered and bool_or(
          case
            when in_row.follows then in_row.decision <> 'dry_run'
            when prior.state is null or prior.state in ('done', 'passed_over') then false
            when prior.state = 'ahead' and in_row.decision = 'dry_run' then prior.event_id not in (
              select claimed.id
              from claimed
            )
            else true
          end
        ) over (
          partition by in_row.route_code, in_row.event_domain, in_row.event_subject, in_row.is_ordered
          order by in_row.subject_seq
        ) as must_wait
      from in_row
      -- As a condition of the join it would be asked after the function was called, for every event of every route.
      left join lateral (
        select found.event_id, found.state
        from fn_iu_route_prior(
          p_worker_code, in_row.route_code, in_row.event_type, in_row.event_filter, in_row.after_dead_letter,
          in_row.event_domain, in_row.event_subject, in_row.subject_seq) as found
        where in_row.is_ordered
          and in_row.follows is not true
        offset 0
      ) as prior on true
    ),
    kept_back as (
      insert into iu_route_held (worker_code, route_code, event_domain, event_subject, subject_seq, event_id)
      select
        p_worker_code, in_place.route_code, in_place.event_domain, in_place.event_subject, in_place.subject_seq, in_place.id
      from in_place
      where in_place.must_wait
      returning 1
    ),
    queued as (
      insert into iu_route_delivery (
        event_id, route_code, worker_code, attempt_no, target_kind, target_ref, request, safe_payload, detail)
      select
        in_place.id, in_place.route_code, p_worker_code, 1, in_place.target_kind, in_place.target_ref,
        fn_iu_delivery_request(
          in_place.route_code, in_place.target_kind, in_place.target_ref, in_place.id, in_place.event_domain,
          in_place.event_type, in_place.event_subject, in_place.subject_seq, in_place.created_at),
        in_place.payload, in_place.after_letter
      from in_place
      where in_place.decision = 'live'
        and in_place.is_queued
        and not in_place.must_wait
      on conflict do nothing
      returning iu_route_delivery.event_id, iu_route_delivery.route_code
    ),
    delivered as materialized (
      select
        in_place.*,
        case
          when in_place.decision = 'live' and in_place.is_queued then
            '{"status": "skipped", "detail": {"because": "another worker has queued it"}}'
          when in_place.decision = 'live' then fn_iu_route_deliver(
            in_place.route_code,
            in_place.id,
            fn_iu_delivery_request(
              in_place.route_code, in_place.target_kind, in_place.target_ref, in_place.id, in_place.event_domain,
              in_place.event_type, in_place.event_subject, in_place.subject_seq, in_place.created_at)
              || jsonb_build_object('safe_payload', in_place.payload, 'worker_code', p_worker_code))
        end as outcome
      from in_place
      where not in_place.must_wait
        -- A delivery that was queued has its attempt when its outcome is known.
        and (in_place.id, in_place.route_code) not in (
          select queued.event_id, queued.route_code
          from queued
        )
      order by in_place.route_code, in_place.event_subject, in_place.subject_seq,
        in_place.epoch, in_place.xact_id, in_place.created_at, in_place.id
    ),
    recorded_with_care as (
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered,
        target_kind, target_ref, failure_code, detail)
      select
        delivered.idempotency_key,
        1,
        delivered.id,
        delivered.route_code,
        p_worker_code,
        coalesce(delivered.outcome ->> 'status', delivered.decision),
        coalesce(delivered.outcome ->> 'status', delivered.decision),
        coalesce((delivered.outcome ->> 'delivered')::boolean, false),
        delivered.target_kind,
        delivered.target_ref,
        case when delivered.outcome ->> 'status' = 'failed' then coalesce(delivered.outcome ->> 'code', 'target_failed') end,
        coalesce(delivered.outcome -> 'detail', '{}') || delivered.after_letter
      from delivered
      returning 1
    )
  select
    (select count(*) from claimed),
    (select count(*) from recorded) + (select count(*) from recorded_with_care),
    (select count(*) from kept_back),
    case when v_has_rivals then (select array_agg(queued.event_id) from queued) end,
    pg_snapshot_xmin(pg_current_snapshot()),
    coalesce(last_claimed.epoch, p_epoch),
    coalesce(last_claimed.xact_id, p_xact_id),
    coalesce(last_claimed.created_at, p_created_at),
    coalesce(last_claimed.id, p_event_id)
  into
    fn_iu_route_worker_pass.seen,
    fn_iu_route_worker_pass.attempts,
    fn_iu_route_worker_pass.held,
    v_queued,
    fn_iu_route_worker_pass.horizon,
    fn_iu_route_worker_pass.epoch,
    fn_iu_route_worker_pass.xact_id,
    fn_iu_route_worker_pass.created_at,
    fn_iu_route_worker_pass.event_id
  from (values (true)) as once (always)
  left join last_claimed on once.always;
  if v_has_rivals then
    attempts := attempts + fn_iu_delivery_yield(p_worker_code, v_queued);
  end if;
  if attempts > 0 then
    perform fn_iu_check_deferred();
  end if;
end
$$;
comment on function fn_iu_route_worker_pass(text, integer, xid8, timestamptz, uuid, xid8, integer, text) is
  'Layer worker. One set: claims events after a keyset in commit order, records the first decisions; returns counts and the keyset it ends at.';

alter function fn_iu_route_worker_pass(text, integer, xid8, timestamptz, uuid, xid8, integer, text) owner to iu_core_owner;

revoke all on function fn_iu_route_worker_pass(text, integer, xid8, timestamptz, uuid, xid8, integer, text) from public;
