-- does:      installs the release of events that were held back for the order of their subject.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_held_release(
  p_worker_code text,
  p_limit integer,
  p_route_code text default null,
  p_after uuid[] default null,
  out freed integer,
  out attempts integer,
  out dead_lettered integer
)
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: decides about held events whose turn has come, subject by subject in order, until none is left or the limit is
--       reached: all of the worker, or those of one route and of the subjects of named events. On a dry-run route the
--       followers of an event go with it; on a live one each waits for the outcome.
-- called by: fn_iu_route_worker_run (all), fn_iu_route_delivery_followers (behind what was settled).
-- locks: the held rows; the caller holds the cursor.
-- raises: what another try may cure, and nothing else.
declare
  v_first record;
  v_follower record;
  v_event_ids uuid[];
  v_detail jsonb;
  v_freed integer;
begin
  freed := 0;
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
              and p_after is null
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
        ),
        waiting_after as (
          select first_of_subject.*
          from (
            select distinct event_outbox.event_domain, event_outbox.event_subject
            from event_outbox
            where event_outbox.id = any (p_after)
          ) as subject
          cross join lateral (
            select iu_route_held.*
            from iu_route_held
            where iu_route_held.worker_code = p_worker_code
              and iu_route_held.route_code = p_route_code
              and iu_route_held.event_domain = subject.event_domain
              and iu_route_held.event_subject = subject.event_subject
            order by iu_route_held.subject_seq
            limit 1
          ) as first_of_subject
        )
      select waiting.*, route.decision, route.event_type, route.event_filter, route.after_dead_letter, route.is_ordered,
        prior.state as prior_state
      from (
        select waiting.*
        from waiting
        union all
        select waiting_after.*
        from waiting_after
      ) as waiting
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
      )
        and not exists (
          select
          from iu_route_delivery
          where iu_route_delivery.event_id = keyed.event_id
            and iu_route_delivery.route_code = v_first.route_code
        );
      delete from iu_route_held
      where iu_route_held.event_id = any (v_event_ids)
        and iu_route_held.route_code = v_first.route_code
        and iu_route_held.worker_code = p_worker_code;
      v_freed := v_freed + cardinality(v_event_ids);
    end loop;
    freed := freed + v_freed;
    exit when v_freed = 0 or freed >= p_limit;
  end loop;
end
$$;
comment on function fn_iu_route_held_release(text, integer, text, uuid[]) is
  'Layer worker. Decides about held events whose turn has come, in the order of their subjects.';

alter function fn_iu_route_held_release(text, integer, text, uuid[]) owner to iu_core_owner;

revoke all on function fn_iu_route_held_release(text, integer, text, uuid[]) from public;
