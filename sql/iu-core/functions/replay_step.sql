-- does:      installs the executing of a plan: the picking of letters, their trying, the collecting of what was delivered, and
--            the step that does all of it for one batch.
-- called by: macro dead-letter-replay.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_replay_followers(p_plan_hash text, p_places integer[], p_from_behind integer[] default '{}')
  returns integer
  language plpgsql
  volatile
  set search_path from current
  set enable_seqscan = off
as $$
-- does: lets the letters go on that wait behind finished ones of the same subject: the next of each, or, where one stays open
--       and its route blocks its subject then, none: those after it are skipped. A finished one that was itself behind another
--       (p_from_behind) lets nobody go on. Answers how many were skipped.
-- called by: fn_iu_replay_record, fn_iu_replay_steer; locks: the rows; raises: nothing.
declare
  v_skipped integer;
begin
  with
    finished as (
      select
        finished.route_code,
        finished.worker_code,
        finished.subject,
        bool_or(finished.stays_open) and (
          select iu_outbound_route.after_dead_letter is distinct from 'skip'
          from (values (finished.route_code)) as asked (route_code)
          left join iu_outbound_route on iu_outbound_route.route_code = asked.route_code
        ) as is_blocked,
        min(finished.subject_seq) filter (where finished.stays_open) as blocked_from,
        bool_or(finished.place <> all (p_from_behind)) as is_the_turn_over
      from (
        select
          iu_replay_letter.*,
          -- One that somebody else has resolved or discarded holds nobody back.
          iu_replay_letter.state <> 'resolved'
            and coalesce(iu_replay_letter.because, '-') not in ('resolved', 'discarded') as stays_open
        from iu_replay_letter
        where iu_replay_letter.plan_hash = p_plan_hash
          and iu_replay_letter.place = any (p_places)
          and iu_replay_letter.subject is not null
          and iu_replay_letter.state in ('resolved', 'failed', 'skipped')
      ) as finished
      group by finished.route_code, finished.worker_code, finished.subject
    ),
    moved as (
      update iu_replay_letter
      set
        state = case when behind.is_blocked then 'skipped' else 'waiting' end,
        due_at = case when behind.is_blocked then null else clock_timestamp() end,
        because = case when behind.is_blocked then 'subject_blocked' end
      from (
        select
          waits.place,
          finished.is_blocked
        from finished
        join iu_replay_letter as waits
          on waits.plan_hash = p_plan_hash
          and waits.route_code = finished.route_code
          and waits.subject = finished.subject
          and waits.worker_code = finished.worker_code
          and waits.state = 'behind'
          and case
            when finished.is_blocked then waits.subject_seq > finished.blocked_from
            else finished.is_the_turn_over and waits.subject_seq = (
              select min(first.subject_seq)
              from iu_replay_letter as first
              where first.plan_hash = p_plan_hash
                and first.route_code = finished.route_code
                and first.subject = finished.subject
                and first.worker_code = finished.worker_code
                and first.state = 'behind'
            )
          end
      ) as behind
      where iu_replay_letter.plan_hash = p_plan_hash
        and iu_replay_letter.place = behind.place
      returning iu_replay_letter.state
    )
  select count(*) filter (where moved.state = 'skipped')
  into v_skipped
  from moved;
  return v_skipped;
end
$$;
comment on function fn_iu_replay_followers(text, integer[], integer[]) is
  'Layer replay. Lets letters go on that wait behind finished ones of their subject; returns how many were skipped instead.';

create function fn_iu_replay_record(
  p_progress iu_replay_progress,
  p_places integer[],
  p_outcomes text[],
  p_becauses text[]
)
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
-- does: notes what became of letters of a plan, and counts: resolved, failed (again later, as the policy says, or for good),
--       queued, skipped, later (locked by somebody), or again (taken back from the queue: no try).
-- called by: fn_iu_replay_try_places, fn_iu_replay_collect, fn_iu_replay_fail.
-- locks: the rows; the caller holds the plan's progress.
-- raises: nothing.
declare
  v_progress iu_replay_progress := p_progress;
  v_plan iu_replay_plan;
  v_sum record;
begin
  select iu_replay_plan.*
  into strict v_plan
  from iu_replay_plan
  where iu_replay_plan.plan_hash = p_progress.plan_hash;
  with
    noted as (
      update iu_replay_letter
      set
        state = told.next_state,
        tries = iu_replay_letter.tries + told.is_try,
        attempt_no = iu_replay_letter.attempt_no + told.is_try,
        because = told.because,
        due_at = case
          when told.next_state <> 'waiting' then null
          when told.outcome = 'again' then clock_timestamp()
          when told.outcome = 'later' then clock_timestamp() + interval '1 second'
          else clock_timestamp() + make_interval(secs =>
            least(
              (v_plan.policy ->> 'maximumIntervalMs')::double precision,
              (v_plan.policy ->> 'initialIntervalMs')::double precision
                * least((v_plan.policy ->> 'backoff')::double precision ^ told.tries, 1e9)
            ) * (1 - (v_plan.policy ->> 'jitter')::double precision * random()) / 1000)
        end
      from (
        select
          outcome.place,
          outcome.outcome,
          outcome.because,
          letter.row_place,
          letter.tries,
          case when outcome.outcome in ('resolved', 'failed') then 1 else 0 end as is_try,
          case
            when outcome.outcome in ('resolved', 'queued', 'skipped') then outcome.outcome
            when outcome.outcome in ('later', 'again') then 'waiting'
            when letter.tries + 1 < (v_plan.policy ->> 'attempts')::integer
              and not v_plan.policy -> 'notRetryable' ? outcome.because then 'waiting'
            else 'failed'
          end as next_state,
          letter.state = 'queued' as was_queued
        from unnest(p_places, p_outcomes, p_becauses) as outcome (place, outcome, because)
        -- One look-up for each: joined, every letter of the plan is read where the planner knows too little of it.
        cross join lateral (
          select
            iu_replay_letter.ctid as row_place,
            iu_replay_letter.state,
            iu_replay_letter.tries
          from iu_replay_letter
          where iu_replay_letter.plan_hash = v_plan.plan_hash
            and iu_replay_letter.place = outcome.place
          limit 1
        ) as letter
      ) as told
      -- Nobody else moves them: the plan's progress is locked.
      where iu_replay_letter.ctid = told.row_place
      returning
        iu_replay_letter.place,
        iu_replay_letter.state,
        iu_replay_letter.subject,
        told.is_try,
        told.was_queued
    )
  select
    count(*) filter (where noted.state = 'resolved') as resolved,
    count(*) filter (where noted.state = 'failed') as failed,
    count(*) filter (where noted.state = 'failed' and noted.place <= v_plan.canary_letters) as canary_failed,
    count(*) filter (where noted.state = 'skipped') as skipped,
    count(*) filter (where noted.state = 'queued') - count(*) filter (where noted.was_queued) as queued,
    sum(noted.is_try) as tries,
    array_agg(noted.place) filter (where noted.subject is not null) as in_subject
  into v_sum
  from noted;
  v_progress.resolved := v_progress.resolved + v_sum.resolved;
  v_progress.failed := v_progress.failed + v_sum.failed;
  v_progress.canary_failed := v_progress.canary_failed + v_sum.canary_failed;
  v_progress.skipped := v_progress.skipped + v_sum.skipped;
  v_progress.queued := v_progress.queued + v_sum.queued;
  v_progress.tries := v_progress.tries + coalesce(v_sum.tries, 0);
  if v_sum.in_subject is not null then
    v_progress.skipped := v_progress.skipped + fn_iu_replay_followers(v_plan.plan_hash, v_sum.in_subject);
  end if;
  return v_progress;
end
$$;
comment on function fn_iu_replay_record(iu_replay_progress, integer[], text[], text[]) is
  'Layer replay. Notes what became of letters of a plan, and counts.';

create function fn_iu_replay_keep(p_progress iu_replay_progress)
  returns void
  language sql
  volatile
  set search_path from current
as $$
-- does: stores how far a plan has come; called by: what executes it, which holds the row; locks: none more; raises: nothing.
update iu_replay_progress
set
  next_place = p_progress.next_place,
  resolved = p_progress.resolved,
  failed = p_progress.failed,
  skipped = p_progress.skipped,
  queued = p_progress.queued,
  tries = p_progress.tries,
  canary = p_progress.canary,
  canary_failed = p_progress.canary_failed,
  gate_because = p_progress.gate_because,
  updated_at = clock_timestamp()
where iu_replay_progress.plan_hash = p_progress.plan_hash
$$;
comment on function fn_iu_replay_keep(iu_replay_progress) is 'Layer replay. Stores how far a plan has come.';

create function fn_iu_replay_collect(p_progress iu_replay_progress, p_takes_back boolean)
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
-- does: notes what became of deliveries of a plan that have left the queue; and, where it is to stop, takes those back that
--       nobody delivers at this moment: they use up no attempt.
-- called by: fn_iu_replay_step, fn_iu_replay_end.
-- locks: rows of the queue, passing over those that somebody has; the caller holds the plan's progress.
-- raises: nothing.
declare
  v_sum record;
begin
  if p_takes_back then
    with
      queued as materialized (
        select delivery.place
        from iu_replay_letter as letter
        cross join lateral (
          select iu_route_delivery.ctid as place
          from iu_route_delivery
          where iu_route_delivery.event_id = letter.event_id
            and iu_route_delivery.route_code = letter.route_code
            and iu_route_delivery.worker_code = letter.worker_code
            and iu_route_delivery.detail ->> 'plan' = left(letter.plan_hash, 16)
            and (iu_route_delivery.lease_token is null or not fn_iu_route_lease_is_held(iu_route_delivery.lease_token))
          for update skip locked
        ) as delivery
        where letter.plan_hash = p_progress.plan_hash
          and letter.state = 'queued'
      )
    delete from iu_route_delivery
    using queued
    where iu_route_delivery.ctid = queued.place;
  end if;
  select
    array_agg(judged.place) as places,
    array_agg(judged.outcome) as outcomes,
    array_agg(judged.because) as becauses
  into v_sum
  from (
    select
      letter.place,
      case
        when attempt.status in ('sent', 'skipped') and dead_letter.state = 'resolved' then 'resolved'
        when attempt.status = 'failed' then 'failed'
        when attempt.status is not null then 'skipped'
        when dead_letter.state in ('open', 'parked') then 'again'
        else 'skipped'
      end as outcome,
      case
        when attempt.status = 'failed' then attempt.failure_code
        when dead_letter.state = 'discarded' then dead_letter.state
        when attempt.status is not null and dead_letter.state <> 'resolved' then 'recalled'
        when attempt.status is null and dead_letter.state = 'resolved' then dead_letter.state
      end as because
    -- What has left the queue is found first: it is a part of what is looked at.
    from (
      select
        iu_replay_letter.place,
        iu_replay_letter.dead_letter_id,
        iu_replay_letter.attempt_no
      from iu_replay_letter
      where iu_replay_letter.plan_hash = p_progress.plan_hash
        and iu_replay_letter.state = 'queued'
        and not exists (
          select
          from iu_route_delivery
          where iu_route_delivery.event_id = iu_replay_letter.event_id
            and iu_route_delivery.route_code = iu_replay_letter.route_code
            and iu_route_delivery.worker_code = iu_replay_letter.worker_code
            and iu_route_delivery.detail ->> 'plan' = left(iu_replay_letter.plan_hash, 16)
          offset 0
        )
      offset 0
    ) as letter
    join iu_route_dead_letter as dead_letter on dead_letter.dead_letter_id = letter.dead_letter_id
    left join iu_route_attempt as attempt
      on attempt.idempotency_key = dead_letter.idempotency_key
      and attempt.attempt_no = letter.attempt_no + 1
  ) as judged;
  if v_sum.places is null then
    return p_progress;
  end if;
  return fn_iu_replay_record(p_progress, v_sum.places, v_sum.outcomes, v_sum.becauses);
end
$$;
comment on function fn_iu_replay_collect(iu_replay_progress, boolean) is
  'Layer replay. Notes what became of deliveries of a plan, and takes back what is queued where it is to stop.';

create function fn_iu_replay_pick(p_progress iu_replay_progress, p_last_place integer, p_limit integer, out places integer[], out next_place integer)
  returns record
  language plpgsql
  stable
  set search_path from current
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off
as $$
-- does: the letters to be tried next, all of one route and worker: those that are due again, else the next by place; and the
--       first place that has not been looked at.
-- called by: fn_iu_replay_step, fn_iu_replay_next; locks: none; raises: nothing.
declare
  -- Before the statement: inside it the clock would be no bound of the index, and what is due later would be read, too.
  v_now constant timestamptz := clock_timestamp();
begin
  next_place := p_progress.next_place;
  with
    due as (
      select
        letter.place,
        letter.due_at,
        letter.route_code,
        letter.worker_code
      from iu_replay_letter as letter
      where letter.plan_hash = p_progress.plan_hash
        and letter.due_at <= v_now
        and letter.place <= p_last_place
      order by letter.due_at, letter.place
      limit p_limit
    )
  select array_agg(due.place order by due.place)
  into places
  from due
  cross join (
    select
      earliest.route_code,
      earliest.worker_code
    from due as earliest
    order by earliest.due_at, earliest.place
    limit 1
  ) as first
  where (due.route_code, due.worker_code) is not distinct from (first.route_code, first.worker_code);
  while places is null and next_place <= p_last_place loop
    with
      ahead as (
        select
          letter.place,
          letter.state = 'waiting' and letter.due_at is null as is_fresh,
          letter.route_code,
          letter.worker_code
        from iu_replay_letter as letter
        where letter.plan_hash = p_progress.plan_hash
          and letter.place >= next_place
          and letter.place <= p_last_place
        order by letter.place
        limit p_limit
      ),
      -- Materialized, both: as a part of the join they may be worked out once for each row.
      first as materialized (
        select
          ahead.route_code,
          ahead.worker_code
        from ahead
        where ahead.is_fresh
        order by ahead.place
        limit 1
      ),
      -- Where another route begins.
      ends as materialized (
        select min(ahead.place) as place
        from ahead
        cross join first
        where ahead.is_fresh
          and (ahead.route_code, ahead.worker_code) is distinct from (first.route_code, first.worker_code)
      )
    select
      array_agg(ahead.place order by ahead.place) filter (where ahead.is_fresh),
      max(ahead.place) + 1
    into places, next_place
    from ahead
    cross join ends
    where ends.place is null
      or ahead.place < ends.place;
    next_place := coalesce(next_place, p_last_place + 1);
  end loop;
end
$$;
comment on function fn_iu_replay_pick(iu_replay_progress, integer, integer) is
  'Layer replay. The letters to be tried next, all of one route and worker.';

create function fn_iu_replay_judge(
  p_progress iu_replay_progress,
  p_places integer[],
  out places integer[],
  out outcomes text[],
  out becauses text[],
  out dead_letter_ids uuid[],
  out event_ids uuid[],
  out keys text[],
  out attempt_nos integer[]
)
  returns record
  language plpgsql
  volatile
  set search_path from current
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
-- does: locks letters that are to be tried, and tells which may be (outcome null) and why not the others: somebody has it at
--       this moment, or has resolved, discarded, parked, tried or queued it since the plan was made, or an earlier event of its
--       subject holds it back.
-- called by: fn_iu_replay_try_places; locks: the letters, passing over those that somebody has; raises: nothing.
begin
  select
    array_agg(judged.place),
    array_agg(case when judged.because = 'locked' then 'later' when judged.because is not null then 'skipped' end),
    array_agg(judged.because),
    array_agg(judged.dead_letter_id),
    array_agg(judged.event_id),
    array_agg(judged.idempotency_key),
    array_agg(judged.attempt_no)
  into places, outcomes, becauses, dead_letter_ids, event_ids, keys, attempt_nos
  from (
    select
      planned.place,
      planned.dead_letter_id,
      planned.event_id,
      planned.attempt_no,
      letter.idempotency_key,
      case
        when letter.state is null then 'locked'
        when letter.state in ('resolved', 'discarded') then letter.state
        when letter.state = 'parked' and not (
          plan.filter ? 'ids' or coalesce(plan.filter -> 'states' ? 'parked', false)) then 'parked'
        when letter.attempt_no <> planned.attempt_no then 'tried_since'
        when queued.event_id is not null then 'queued_since'
        -- By an earlier event of its subject that is none of the plan.
        when prior.state not in ('done', 'passed_over') then 'subject_blocked'
      end as because
    from unnest(p_places) as asked (place)
    -- One look-up for each, as in fn_iu_replay_record.
    cross join lateral (
      select iu_replay_letter.*
      from iu_replay_letter
      where iu_replay_letter.plan_hash = p_progress.plan_hash
        and iu_replay_letter.place = asked.place
      limit 1
    ) as planned
    join iu_replay_plan as plan on plan.plan_hash = p_progress.plan_hash
    left join lateral (
      select
        iu_route_dead_letter.idempotency_key,
        iu_route_dead_letter.state,
        greatest(
          (iu_route_dead_letter.last_attempt ->> 'attempt_no')::integer,
          (
            select max(iu_route_attempt.attempt_no)
            from iu_route_attempt
            where iu_route_attempt.idempotency_key = iu_route_dead_letter.idempotency_key
          )
        ) as attempt_no
      from iu_route_dead_letter
      where iu_route_dead_letter.dead_letter_id = planned.dead_letter_id
      for update skip locked
    ) as letter on true
    left join iu_route_delivery as queued
      on queued.event_id = planned.event_id
      and queued.route_code = planned.route_code
    -- Asked of ordered routes alone.
    left join lateral (
      select found.state
      from iu_outbound_route as route
      cross join lateral fn_iu_route_prior(
        planned.worker_code, route.route_code, route.event_type, route.event_filter, route.after_dead_letter,
        split_part(planned.subject, ' ', 1), substr(planned.subject, strpos(planned.subject, ' ') + 1), planned.subject_seq
      ) as found
      where planned.subject is not null
        and route.route_code = planned.route_code
      offset 0
    ) as prior on true
  ) as judged;
end
$$;
comment on function fn_iu_replay_judge(iu_replay_progress, integer[]) is
  'Layer replay. Locks letters that are to be tried, and tells which may be and why not the others.';

create function fn_iu_replay_results(
  p_progress iu_replay_progress,
  p_places integer[],
  p_keys text[],
  p_attempt_nos integer[],
  p_actor text,
  p_reason text,
  out places integer[],
  out outcomes text[],
  out becauses text[]
)
  returns record
  language plpgsql
  volatile
  set search_path from current
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
-- does: reads what became of letters that were tried, and writes it into them: resolved, or the newest failure where nobody
--       has written it yet.
-- called by: fn_iu_replay_try_places, after the routes have decided; locks: the letters, which the caller has.
-- raises: serialization_failure where a gate was closed meanwhile: nothing of the batch counts.
begin
  with
    result as materialized (
      select
        tried.place,
        tried.key,
        tried.attempt_no + 1 as attempt_no,
        attempt.status,
        attempt.failure_code,
        attempt.detail,
        to_jsonb(attempt) as attempt,
        case
          when attempt.status in ('dry_run', 'sent', 'skipped') then 'resolved'
          when attempt.status = 'failed' then 'failed'
          when attempt.status = 'blocked' then 'blocked'
          when queued.detail ->> 'plan' = left(p_progress.plan_hash, 16) then 'queued'
          else 'skipped'
        end as outcome,
        -- By a replay that was not committed yet when the letter was locked.
        case when queued.event_id is not null then 'queued_since' else 'not_taken' end as skipped_because
      from unnest(p_places, p_keys, p_attempt_nos) as tried (place, key, attempt_no)
      left join lateral (
        select iu_route_attempt.*
        from iu_route_attempt
        where iu_route_attempt.idempotency_key = tried.key
          and iu_route_attempt.attempt_no = tried.attempt_no + 1
      ) as attempt on true
      cross join lateral (
        select
          iu_replay_letter.event_id,
          iu_replay_letter.route_code,
          iu_replay_letter.worker_code
        from iu_replay_letter
        where iu_replay_letter.plan_hash = p_progress.plan_hash
          and iu_replay_letter.place = tried.place
        limit 1
      ) as planned
      left join iu_route_delivery as queued
        on queued.event_id = planned.event_id
        and queued.route_code = planned.route_code
        and queued.worker_code = planned.worker_code
    ),
    written as (
      update iu_route_dead_letter
      set
        state = case result.outcome when 'resolved' then 'resolved' else iu_route_dead_letter.state end,
        state_actor = case result.outcome when 'resolved' then p_actor else iu_route_dead_letter.state_actor end,
        state_reason = case result.outcome when 'resolved' then p_reason else iu_route_dead_letter.state_reason end,
        state_at = case result.outcome when 'resolved' then clock_timestamp() else iu_route_dead_letter.state_at end,
        replay_count = iu_route_dead_letter.replay_count + 1,
        failure_code = coalesce(result.failure_code, iu_route_dead_letter.failure_code),
        failure_detail = case result.outcome when 'failed' then result.detail else iu_route_dead_letter.failure_detail end,
        last_failed_at = case result.outcome when 'failed' then clock_timestamp() else iu_route_dead_letter.last_failed_at end,
        last_attempt = result.attempt
      from result
      where iu_route_dead_letter.idempotency_key = result.key
        and iu_route_dead_letter.state in ('open', 'parked')
        and result.outcome in ('resolved', 'failed')
        and (iu_route_dead_letter.last_attempt ->> 'attempt_no')::integer < result.attempt_no
    )
  select
    array_agg(result.place),
    array_agg(result.outcome),
    array_agg(case result.outcome when 'failed' then result.failure_code when 'skipped' then result.skipped_because end)
  into places, outcomes, becauses
  from result;
  if 'blocked' = any (outcomes) then
    raise exception using
      errcode = 'serialization_failure',
      message = 'a gate was closed while letters were tried',
      hint = 'Nothing of this batch counts; the next one finds the gate closed.';
  end if;
end
$$;
comment on function fn_iu_replay_results(iu_replay_progress, integer[], text[], integer[], text, text) is
  'Layer replay. Reads what became of letters that were tried, and writes it into them.';

create function fn_iu_replay_try_places(p_progress iu_replay_progress, p_places integer[])
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: tries letters of one route and worker once more, as one set; where that raises, letter by letter, so that only the
--       culprits fail. Letters of routes whose targets lie outside the database are queued.
-- called by: fn_iu_replay_step, fn_iu_replay_try; locks: the letters; the caller holds the plan's progress.
-- raises: what another try may cure (fn_iu_passes_on).
declare
  v_judged record;
  v_may record;
  v_result record;
  v_run iu_replay_run;
  v_detail jsonb;
  v_route_code text;
  v_worker_code text;
  v_change text;
  v_progress iu_replay_progress := p_progress;
  i integer;
begin
  select iu_replay_run.*
  into strict v_run
  from iu_replay_run
  where iu_replay_run.plan_hash = p_progress.plan_hash
    and iu_replay_run.run_no = p_progress.run_no;
  v_detail := jsonb_build_object(
    'replayed_by', v_run.actor, 'reason', v_run.reason, 'plan', left(p_progress.plan_hash, 16));
  select iu_replay_letter.route_code, iu_replay_letter.worker_code
  into strict v_route_code, v_worker_code
  from iu_replay_letter
  where iu_replay_letter.plan_hash = p_progress.plan_hash
    and iu_replay_letter.place = p_places[1];
  v_judged := fn_iu_replay_judge(p_progress, p_places);
  select
    array_agg(judged.place) filter (where judged.outcome is null) as places,
    array_agg(judged.dead_letter_id) filter (where judged.outcome is null) as dead_letter_ids,
    array_agg(judged.event_id) filter (where judged.outcome is null) as event_ids,
    array_agg(judged.key) filter (where judged.outcome is null) as keys,
    array_agg(judged.attempt_no) filter (where judged.outcome is null) as attempt_nos,
    array_agg(judged.place) filter (where judged.outcome is not null) as other_places,
    array_agg(judged.outcome) filter (where judged.outcome is not null) as other_outcomes,
    array_agg(judged.because) filter (where judged.outcome is not null) as other_becauses
  into v_may
  from unnest(
    v_judged.places, v_judged.outcomes, v_judged.becauses, v_judged.dead_letter_ids, v_judged.event_ids, v_judged.keys,
    v_judged.attempt_nos) as judged (place, outcome, because, dead_letter_id, event_id, key, attempt_no);
  if v_may.other_places is not null then
    v_progress := fn_iu_replay_record(v_progress, v_may.other_places, v_may.other_outcomes, v_may.other_becauses);
  end if;
  if v_may.places is null then
    return v_progress;
  end if;

  if v_route_code is null then
    for i in 1 .. cardinality(v_may.places) loop
      if fn_iu_route_dead_letter_replay(v_may.dead_letter_ids[i], v_run.actor, v_run.reason) ->> 'status' like '%gate%' then
        raise exception using
          errcode = 'serialization_failure',
          message = 'a gate was closed while letters were tried',
          hint = 'Nothing of this batch counts; the next one finds the gate closed.';
      end if;
    end loop;
  else
    begin
      perform fn_iu_route_decide(v_worker_code, v_may.event_ids, v_route_code, true, v_detail);
    exception
      when others then
        if fn_iu_passes_on(sqlstate) then
          raise;
        end if;
        for i in 1 .. cardinality(v_may.places) loop
          begin
            perform fn_iu_route_decide(v_worker_code, array[v_may.event_ids[i]], v_route_code, true, v_detail);
          exception
            when others then
              if fn_iu_passes_on(sqlstate) then
                raise;
              end if;
              perform fn_iu_route_record_failure(
                v_worker_code, v_may.event_ids[i], v_route_code, v_may.attempt_nos[i] + 1, 'worker_process_error',
                sqlstate, sqlerrm);
          end;
        end loop;
    end;
    -- Its route may have become another one after the gate was looked at: a dry run would count as resolved.
    v_change := fn_iu_replay_route_change(p_progress.plan_hash, v_route_code);
    if v_change is not null then
      raise exception using
        errcode = 'serialization_failure',
        message = v_change || ' while letters were tried',
        hint = 'Nothing of this batch counts; the next one finds the route as it is.';
    end if;
  end if;
  v_result := fn_iu_replay_results(
    v_progress, v_may.places, v_may.keys, v_may.attempt_nos, v_run.actor, v_run.reason);
  return fn_iu_replay_record(v_progress, v_result.places, v_result.outcomes, v_result.becauses);
end
$$;
comment on function fn_iu_replay_try_places(iu_replay_progress, integer[]) is
  'Layer replay. Tries letters of one route and worker once more, as one set, or letter by letter where that raises.';

create function fn_iu_replay_enter(p_plan_hash text, p_run_id text)
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: takes the progress of a plan for one transaction of its run.
-- called by: what executes a plan; locks: the plan's progress; raises: SL010 replay_not_found, replay_ended.
declare
  v_progress iu_replay_progress;
begin
  select iu_replay_progress.*
  into v_progress
  from iu_replay_progress
  where iu_replay_progress.plan_hash = p_plan_hash
  for update;
  if not found then
    perform fn_iu_replay_refuse(
      'replay_not_found', format('There is no plan %s.', left(coalesce(p_plan_hash, 'null'), 64)),
      'The hash of a plan of this target is needed.', 'Nothing was changed.');
  end if;
  if v_progress.state <> 'running' or not exists (
    select
    from iu_replay_run
    where iu_replay_run.plan_hash = p_plan_hash
      and iu_replay_run.run_no = v_progress.run_no
      and iu_replay_run.run_id = p_run_id
  ) then
    perform fn_iu_replay_refuse(
      'replay_ended',
      format('Run %s does not execute plan %s: it is %s.', coalesce(p_run_id, 'null'), left(p_plan_hash, 16), v_progress.state),
      'The run that has opened a plan executes it.',
      'Nothing was changed.');
  end if;
  return v_progress;
end
$$;
comment on function fn_iu_replay_enter(text, text) is 'Layer replay. Takes the progress of a plan for one transaction of its run.';

create function fn_iu_replay_gate(p_plan_hash text, p_place integer)
  returns text
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: what keeps a letter of a plan from being tried now: a gate that is closed or closing, or a route that does something
--       else than when the plan was made; null where it may be tried.
-- called by: fn_iu_replay_step, fn_iu_replay_next; locks: shared side of the worker's advisory lock, by try.
-- raises: SL008 on a standby, or under REPEATABLE READ outside a probe.
declare
  v_closed constant text := fn_iu_worker_enter('a replay');
  v_route_code text;
  v_change text;
  v_mode text;
begin
  if v_closed is not null then
    return v_closed;
  end if;
  select iu_replay_letter.route_code
  into v_route_code
  from iu_replay_letter
  where iu_replay_letter.plan_hash = p_plan_hash
    and iu_replay_letter.place = p_place;
  if v_route_code is null then
    return null;
  end if;
  v_change := fn_iu_replay_route_change(p_plan_hash, v_route_code);
  if v_change is not null then
    return v_change || ' since the plan was made: change it back, skip it, or cancel';
  end if;
  v_mode := fn_iu_replay_mode(v_route_code);
  return case when v_mode not in ('live', 'dry_run') then format('%s (route %s)', v_mode, v_route_code) end;
end
$$;
comment on function fn_iu_replay_gate(text, integer) is
  'Layer replay. What keeps a letter of a plan from being tried now; null where it may be.';

create function fn_iu_replay_gate_of_queued(p_plan_hash text)
  returns text
  language plpgsql
  volatile
  set search_path from current
  set enable_seqscan = off
as $$
-- does: what keeps letters that are queued from being delivered now, as fn_iu_replay_gate tells it; null where nothing does.
-- called by: fn_iu_replay_step, where nothing is left to be tried; locks: as fn_iu_replay_gate; raises: as that.
declare
  v_place integer;
  v_because text;
begin
  for v_place in
    select min(iu_replay_letter.place)
    from iu_replay_letter
    where iu_replay_letter.plan_hash = p_plan_hash
      and iu_replay_letter.state = 'queued'
    group by iu_replay_letter.route_code
  loop
    v_because := fn_iu_replay_gate(p_plan_hash, v_place);
    exit when v_because is not null;
  end loop;
  return v_because;
end
$$;
comment on function fn_iu_replay_gate_of_queued(text) is
  'Layer replay. What keeps queued letters of a plan from being delivered now; null where nothing does.';

create function fn_iu_replay_note_gate(p_progress iu_replay_progress, p_because text)
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: remembers the gate that holds a run, and tells its story where that changes.
-- called by: fn_iu_replay_step; locks: none; raises: nothing.
declare
  v_progress iu_replay_progress := p_progress;
begin
  if p_progress.gate_because is distinct from p_because then
    insert into iu_replay_story (plan_hash, what, actor, reason)
    values (
      p_progress.plan_hash,
      case when p_because is null then 'gate_opened' else 'gate_closed' end,
      'replay',
      coalesce(p_because, p_progress.gate_because));
    v_progress.gate_because := p_because;
  end if;
  return v_progress;
end
$$;
comment on function fn_iu_replay_note_gate(iu_replay_progress, text) is 'Layer replay. Remembers the gate that holds a run.';

create function fn_iu_replay_over_limit(p_progress iu_replay_progress)
  returns text
  language sql
  stable
  set search_path from current
as $$
-- does: the failure limit that a run has exceeded, in words; null while it has not.
-- called by: fn_iu_replay_step; locks: none; raises: nothing.
select case
  when p_progress.canary in ('running', 'failed')
    and p_progress.canary_failed > (plan.policy ->> 'canaryFailureLimit')::integer
    then format('%s of the canary''s %s letters failed, more than %s', p_progress.canary_failed, plan.canary_letters,
      plan.policy ->> 'canaryFailureLimit')
  when p_progress.failed - run.failed_before > (plan.policy ->> 'failureLimit')::integer
    then format('%s letters failed, more than %s', p_progress.failed - run.failed_before, plan.policy ->> 'failureLimit')
end
from iu_replay_plan as plan
join iu_replay_run as run
  on run.plan_hash = plan.plan_hash
  and run.run_no = p_progress.run_no
where plan.plan_hash = p_progress.plan_hash
$$;
comment on function fn_iu_replay_over_limit(iu_replay_progress) is
  'Layer replay. The failure limit that a run has exceeded, in words; null while it has not.';

create function fn_iu_replay_room(p_progress iu_replay_progress)
  returns bigint
  language sql
  stable
  set search_path from current
as $$
-- does: how many letters may be tried at once so that, should each fail, the failure limit is exceeded by one and no more.
-- called by: fn_iu_replay_step; locks: none; raises: nothing.
select (plan.policy ->> 'failureLimit')::bigint + 1 - (p_progress.failed - run.failed_before) - p_progress.queued
from iu_replay_plan as plan
join iu_replay_run as run
  on run.plan_hash = plan.plan_hash
  and run.run_no = p_progress.run_no
where plan.plan_hash = p_progress.plan_hash
$$;
comment on function fn_iu_replay_room(iu_replay_progress) is
  'Layer replay. How many letters may be tried at once without exceeding the failure limit by more than one.';

create function fn_iu_replay_canary(p_progress iu_replay_progress, p_canary_letters integer)
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
  set enable_seqscan = off
as $$
-- does: lets the canary pass once each of its letters has ended; called by: fn_iu_replay_step; locks: none; raises: nothing.
declare
  v_progress iu_replay_progress := p_progress;
begin
  if p_progress.canary = 'running' and p_progress.next_place > p_canary_letters and not exists (
    select
    from iu_replay_letter
    where iu_replay_letter.plan_hash = p_progress.plan_hash
      and iu_replay_letter.place <= p_canary_letters
      and iu_replay_letter.state in ('waiting', 'behind', 'queued')
  ) then
    v_progress.canary := 'passed';
    insert into iu_replay_story (plan_hash, what, actor, reason, detail)
    values (
      p_progress.plan_hash, 'canary_passed', 'replay', 'every letter of the canary has ended within its limit',
      jsonb_build_object('letters', p_canary_letters, 'failed', p_progress.canary_failed));
  end if;
  return v_progress;
end
$$;
comment on function fn_iu_replay_canary(iu_replay_progress, integer) is
  'Layer replay. Lets the canary pass once each of its letters has ended.';

create function fn_iu_replay_step(p_plan_hash text, p_run_id text, p_until text, p_limit integer, p_window integer)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: one batch of a run, as one transaction: notes what was delivered; then, unless somebody holds it, a gate is closed, a
--       limit is exceeded or it is to stop, tries up to p_limit letters of one route (0 only looks), with at most p_window in the
--       queue.
--       Answers its status: working (call again), waiting (for deliveries, or dueInMs), held, canary_passed, executed,
--       stopped, cancelled; and the progress. What steers it is read with every batch.
-- called by: the replay activity.
-- locks: the plan's progress, the letters it tries, the shared side of the worker's advisory lock; all until the transaction
--       ends.
-- raises: SL010 replay_not_found, replay_ended, replay_invalid for a bad limit; SL008; what another try may cure.
declare
  v_progress iu_replay_progress;
  v_letters integer;
  v_canary_letters integer;
  v_last_place integer;
  v_limit integer;
  v_pick record;
  v_gate text;
  v_over text;
  v_status text;
  v_because text;
  v_taken integer := 0;
  v_due_in_ms bigint;
begin
  if (p_until in ('canary', 'end') and p_limit between 0 and fn_iu_config_positive_int('iu_core.route_worker_max_batch')
    and p_window >= 1) is not true
  then
    perform fn_iu_replay_refuse(
      'replay_invalid',
      format('A step was asked for with until %s, limit %s, window %s.', coalesce(p_until, 'null'), coalesce(p_limit::text, 'null'),
        coalesce(p_window::text, 'null')),
      'until is canary or end; the limit is 0 to iu_core.route_worker_max_batch; the window is positive.',
      'Nothing was changed.');
  end if;
  v_progress := fn_iu_replay_enter(p_plan_hash, p_run_id);
  select iu_replay_plan.letters, iu_replay_plan.canary_letters
  into strict v_letters, v_canary_letters
  from iu_replay_plan
  where iu_replay_plan.plan_hash = p_plan_hash;
  if v_progress.queued > 0 then
    v_progress := fn_iu_replay_collect(
      v_progress,
      v_progress.stops_by is not null or v_progress.held_by is not null or fn_iu_replay_over_limit(v_progress) is not null);
  end if;
  v_over := fn_iu_replay_over_limit(v_progress);
  if v_over is null then
    v_progress := fn_iu_replay_canary(v_progress, v_canary_letters);
  end if;
  v_last_place := case when v_progress.canary = 'running' or p_until = 'canary' then v_canary_letters else v_letters end;

  if v_progress.stops_by is not null or v_over is not null or v_progress.held_by is not null then
    v_because := coalesce(v_progress.stops_by || ' cancels it', v_over, v_progress.held_because);
    v_status := case
      when v_progress.queued > 0 then 'waiting'
      when v_progress.stops_by is not null then 'cancelled'
      when v_over is not null then 'stopped'
      else 'held'
    end;
    if v_status = 'stopped' and v_progress.canary = 'running' then
      v_progress.canary := 'failed';
    end if;
  elsif p_until = 'canary' and v_progress.canary in ('passed', 'none') then
    v_status := 'canary_passed';
  elsif v_progress.resolved + v_progress.failed + v_progress.skipped = v_letters then
    v_status := 'executed';
  else
    v_limit := least(
      p_limit,
      case when v_progress.uses_queue then p_window - v_progress.queued else p_limit end,
      fn_iu_replay_room(v_progress));
    if v_limit > 0 then
      v_pick := fn_iu_replay_pick(v_progress, v_last_place, v_limit);
      if v_pick.places is not null then
        v_gate := fn_iu_replay_gate(p_plan_hash, v_pick.places[1]);
        v_progress := fn_iu_replay_note_gate(v_progress, v_gate);
      end if;
      if v_gate is null then
        v_progress.next_place := v_pick.next_place;
        if v_pick.places is not null then
          v_taken := cardinality(v_pick.places);
          v_progress := fn_iu_replay_try_places(v_progress, v_pick.places);
        end if;
      end if;
    end if;
    if v_taken = 0 and v_gate is null and v_progress.queued > 0 then
      v_gate := fn_iu_replay_gate_of_queued(p_plan_hash);
      v_progress := fn_iu_replay_note_gate(v_progress, v_gate);
    end if;
    v_status := case when v_gate is not null then 'held' when v_taken > 0 then 'working' else 'waiting' end;
    v_because := v_gate;
    if v_status = 'waiting' then
      select greatest(0, ceil(1000 * extract(epoch from min(iu_replay_letter.due_at) - clock_timestamp())))
      into v_due_in_ms
      from iu_replay_letter
      where iu_replay_letter.plan_hash = p_plan_hash
        and iu_replay_letter.due_at is not null
        and iu_replay_letter.place <= v_last_place;
    end if;
  end if;
  perform fn_iu_replay_keep(v_progress);
  return jsonb_build_object(
    'status', v_status,
    'because', v_because,
    'taken', v_taken,
    'dueInMs', v_due_in_ms,
    'usesQueue', v_progress.uses_queue,
    'progress', fn_iu_replay_progress_json(v_progress)
  );
end
$$;
comment on function fn_iu_replay_step(text, text, text, integer, integer) is
  'Layer replay. One batch of a run: notes what was delivered, tries the next letters, answers status and progress.';

create function fn_iu_replay_next(p_plan_hash text, p_run_id text, p_until text, p_limit integer)
  returns integer[]
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the slow way, first: the places of the letters that a step would try now, none where it would try none. The caller
--       tries or fails each of them in this very transaction; what it does not is due again.
-- called by: the replay activity, after a step has exceeded its time.
-- locks: the plan's progress, the shared side of the worker's advisory lock.
-- raises: SL010 replay_not_found, replay_ended.
declare
  v_progress iu_replay_progress := fn_iu_replay_enter(p_plan_hash, p_run_id);
  v_plan iu_replay_plan;
  v_pick record;
begin
  select iu_replay_plan.*
  into strict v_plan
  from iu_replay_plan
  where iu_replay_plan.plan_hash = p_plan_hash;
  if v_progress.stops_by is not null or v_progress.held_by is not null or fn_iu_replay_over_limit(v_progress) is not null then
    return '{}';
  end if;
  v_pick := fn_iu_replay_pick(
    v_progress,
    case when v_progress.canary = 'running' or p_until = 'canary' then v_plan.canary_letters else v_plan.letters end,
    p_limit);
  if v_pick.places is null or fn_iu_replay_gate(p_plan_hash, v_pick.places[1]) is not null then
    return '{}';
  end if;
  v_progress.next_place := v_pick.next_place;
  update iu_replay_letter
  set due_at = clock_timestamp()
  where iu_replay_letter.plan_hash = p_plan_hash
    and iu_replay_letter.place = any (v_pick.places)
    and iu_replay_letter.due_at is null;
  perform fn_iu_replay_keep(v_progress);
  return v_pick.places;
end
$$;
comment on function fn_iu_replay_next(text, text, text, integer) is
  'Layer replay. The places of the letters that a step would try now; the caller tries or fails each in the same transaction.';

create function fn_iu_replay_waiting(p_plan_hash text, p_places integer[])
  returns integer[]
  language sql
  stable
  set search_path from current
as $$
-- does: those of some places whose letters wait for a try and are of the first one's route and worker.
-- called by: fn_iu_replay_try, fn_iu_replay_fail; locks: none; raises: nothing.
with
  waiting as (
    select
      letter.place,
      letter.route_code,
      letter.worker_code
    from iu_replay_letter as letter
    where letter.plan_hash = p_plan_hash
      and letter.place = any (p_places)
      and letter.state = 'waiting'
  )
select coalesce(array_agg(waiting.place order by waiting.place), '{}')
from waiting
where (waiting.route_code, waiting.worker_code) is not distinct from (
  select (first.route_code, first.worker_code)
  from waiting as first
  order by first.place
  limit 1
)
$$;
comment on function fn_iu_replay_waiting(text, integer[]) is
  'Layer replay. Those of some places whose letters wait for a try, of one route and worker.';

create function fn_iu_replay_try(p_plan_hash text, p_run_id text, p_places integer[])
  returns integer
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the slow way, then: tries letters of one route by place; answers how many. What does not wait for a try is left
--       alone, and so is everything where the run is held, stops, or has its gate closed.
-- called by: the replay activity, after SAVEPOINT and SET LOCAL statement_timeout.
-- locks: the plan's progress, the letters, the shared side of the worker's advisory lock.
-- raises: SL010 replay_not_found, replay_ended; what another try may cure.
declare
  v_progress iu_replay_progress := fn_iu_replay_enter(p_plan_hash, p_run_id);
  v_places constant integer[] := fn_iu_replay_waiting(p_plan_hash, p_places);
begin
  if cardinality(v_places) = 0
    or v_progress.stops_by is not null
    or v_progress.held_by is not null
    or fn_iu_replay_over_limit(v_progress) is not null
    or fn_iu_replay_gate(p_plan_hash, v_places[1]) is not null
  then
    return 0;
  end if;
  perform fn_iu_replay_keep(fn_iu_replay_try_places(v_progress, v_places));
  return cardinality(v_places);
end
$$;
comment on function fn_iu_replay_try(text, text, integer[]) is 'Layer replay. Tries letters by place.';

create function fn_iu_replay_fail(p_plan_hash text, p_run_id text, p_place integer, p_sqlstate text, p_message text)
  returns void
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the slow way, where a letter's try took too long or failed: records that failed try, of a letter that waits for one.
-- called by: the replay activity, after ROLLBACK TO SAVEPOINT.
-- locks: the plan's progress, the letter.
-- raises: SL010 replay_not_found, replay_ended.
declare
  v_progress iu_replay_progress := fn_iu_replay_enter(p_plan_hash, p_run_id);
  v_code constant text := case p_sqlstate when 'SL009' then 'target_failed' else 'worker_process_error' end;
  v_judged record;
  v_letter iu_replay_letter;
begin
  if cardinality(fn_iu_replay_waiting(p_plan_hash, array[p_place])) = 0 then
    return;
  end if;
  v_judged := fn_iu_replay_judge(v_progress, array[p_place]);
  if v_judged.outcomes[1] is not null then
    perform fn_iu_replay_keep(fn_iu_replay_record(v_progress, v_judged.places, v_judged.outcomes, v_judged.becauses));
    return;
  end if;
  select iu_replay_letter.*
  into strict v_letter
  from iu_replay_letter
  where iu_replay_letter.plan_hash = p_plan_hash
    and iu_replay_letter.place = p_place;
  perform fn_iu_route_record_failure(
    v_letter.worker_code, v_letter.event_id, v_letter.route_code, v_letter.attempt_no + 1, 'worker_process_error',
    p_sqlstate, p_message);
  perform fn_iu_replay_keep(
    fn_iu_replay_record(v_progress, array[p_place], array['failed'], array[v_code]));
end
$$;
comment on function fn_iu_replay_fail(text, text, integer, text, text) is 'Layer replay. Records a letter''s failed try.';

alter function fn_iu_replay_followers(text, integer[], integer[]) owner to iu_core_owner;
alter function fn_iu_replay_record(iu_replay_progress, integer[], text[], text[]) owner to iu_core_owner;
alter function fn_iu_replay_keep(iu_replay_progress) owner to iu_core_owner;
alter function fn_iu_replay_collect(iu_replay_progress, boolean) owner to iu_core_owner;
alter function fn_iu_replay_pick(iu_replay_progress, integer, integer) owner to iu_core_owner;
alter function fn_iu_replay_judge(iu_replay_progress, integer[]) owner to iu_core_owner;
alter function fn_iu_replay_results(iu_replay_progress, integer[], text[], integer[], text, text) owner to iu_core_owner;
alter function fn_iu_replay_try_places(iu_replay_progress, integer[]) owner to iu_core_owner;
alter function fn_iu_replay_enter(text, text) owner to iu_core_owner;
alter function fn_iu_replay_gate(text, integer) owner to iu_core_owner;
alter function fn_iu_replay_gate_of_queued(text) owner to iu_core_owner;
alter function fn_iu_replay_note_gate(iu_replay_progress, text) owner to iu_core_owner;
alter function fn_iu_replay_over_limit(iu_replay_progress) owner to iu_core_owner;
alter function fn_iu_replay_room(iu_replay_progress) owner to iu_core_owner;
alter function fn_iu_replay_canary(iu_replay_progress, integer) owner to iu_core_owner;
alter function fn_iu_replay_step(text, text, text, integer, integer) owner to iu_core_owner;
alter function fn_iu_replay_next(text, text, text, integer) owner to iu_core_owner;
alter function fn_iu_replay_waiting(text, integer[]) owner to iu_core_owner;
alter function fn_iu_replay_try(text, text, integer[]) owner to iu_core_owner;
alter function fn_iu_replay_fail(text, text, integer, text, text) owner to iu_core_owner;

revoke all on function fn_iu_replay_followers(text, integer[], integer[]) from public;
revoke all on function fn_iu_replay_record(iu_replay_progress, integer[], text[], text[]) from public;
revoke all on function fn_iu_replay_keep(iu_replay_progress) from public;
revoke all on function fn_iu_replay_collect(iu_replay_progress, boolean) from public;
revoke all on function fn_iu_replay_pick(iu_replay_progress, integer, integer) from public;
revoke all on function fn_iu_replay_judge(iu_replay_progress, integer[]) from public;
revoke all on function fn_iu_replay_results(iu_replay_progress, integer[], text[], integer[], text, text) from public;
revoke all on function fn_iu_replay_try_places(iu_replay_progress, integer[]) from public;
revoke all on function fn_iu_replay_enter(text, text) from public;
revoke all on function fn_iu_replay_gate(text, integer) from public;
revoke all on function fn_iu_replay_gate_of_queued(text) from public;
revoke all on function fn_iu_replay_note_gate(iu_replay_progress, text) from public;
revoke all on function fn_iu_replay_over_limit(iu_replay_progress) from public;
revoke all on function fn_iu_replay_room(iu_replay_progress) from public;
revoke all on function fn_iu_replay_canary(iu_replay_progress, integer) from public;
revoke all on function fn_iu_replay_step(text, text, text, integer, integer) from public;
revoke all on function fn_iu_replay_next(text, text, text, integer) from public;
revoke all on function fn_iu_replay_waiting(text, integer[]) from public;
revoke all on function fn_iu_replay_try(text, text, integer[]) from public;
revoke all on function fn_iu_replay_fail(text, text, integer, text, text) from public;
grant execute on function fn_iu_replay_step(text, text, text, integer, integer) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_next(text, text, text, integer) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_try(text, text, integer[]) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_fail(text, text, integer, text, text) to iu_core_operator, iu_core_worker;
