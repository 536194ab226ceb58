-- does:      installs the release of events that a closed delivery gate kept back.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_blocked(p_worker_code text)
  returns table (idempotency_key text, event_id uuid, route_code text)
  language sql
  stable
  rows 100
  set search_path from current
as $$
-- does: the events and routes whose newest attempt is blocked and that nobody has queued since, oldest event first.
-- called by: fn_iu_route_blocked_release, retention; locks: none; raises: nothing. Null asks for every worker.
select
  iu_route_attempt.idempotency_key,
  iu_route_attempt.event_id,
  iu_route_attempt.route_code
from iu_route_attempt
where iu_route_attempt.decision = 'blocked'
  and (p_worker_code is null or iu_route_attempt.worker_code = p_worker_code)
  and not exists (
    select
    from iu_route_attempt as later
    where later.idempotency_key = iu_route_attempt.idempotency_key
      and later.attempt_no > iu_route_attempt.attempt_no
  )
  and not exists (
    select
    from iu_route_delivery
    where iu_route_delivery.event_id = iu_route_attempt.event_id
      and iu_route_delivery.route_code = iu_route_attempt.route_code
      and iu_route_delivery.worker_code = iu_route_attempt.worker_code
  )
order by iu_route_attempt.idempotency_key
$$;
comment on function fn_iu_route_blocked(text) is
  'Layer worker. Events and routes that a closed delivery gate keeps back, oldest first.';

create function fn_iu_route_blocked_release(p_cursor_code text, p_limit integer, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: decides again about up to p_limit blocked events whose route no gate keeps back any more, under the same key with
--       the next attempt number, in the order of their subjects where the route asks for it. Answers released, or why
--       nothing was done: gate_closing, master_gate_closed, worker_gate_closed, busy, paused, delivery_gate_closed.
-- called by: sluice outbox release.
-- locks: shared side of the worker's advisory lock and the cursor's row, both by try, until the transaction ends.
-- raises: SL008 for a bad limit or cursor; invalid_parameter_value without actor or reason.
declare
  v_max_batch constant integer := fn_iu_config_positive_int('iu_core.route_worker_max_batch');
  v_status text;
  v_blocked record;
  v_released integer := 0;
  v_attempts integer := 0;
  v_dead_lettered integer := 0;
  v_detail constant jsonb := jsonb_build_object('released_by', p_actor, 'reason', p_reason);
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'a release names who asks for it and why',
      hint = 'Give actor and reason. Nothing was changed.';
  end if;
  if p_limit is null or p_limit < 1 or p_limit > v_max_batch then
    raise exception using
      errcode = 'SL008',
      message = format('a release was asked for %s events', coalesce(p_limit::text, 'null')),
      hint = format('1 to %s are allowed (dot_config iu_core.route_worker_max_batch). Nothing was changed.', v_max_batch);
  end if;
  v_status := fn_iu_worker_enter('a release');
  if v_status is null then
    v_status := (fn_iu_route_worker_claim(p_cursor_code)).status;
  end if;

  if v_status is null then
    for v_blocked in
      select blocked.event_id, blocked.route_code, blocked.idempotency_key, route.event_type, route.event_filter,
        route.after_dead_letter,
        route.is_ordered and event_outbox.subject_seq is not null as is_ordered,
        event_outbox.event_domain, event_outbox.event_subject, event_outbox.subject_seq
      from fn_iu_route_blocked(p_cursor_code) as blocked
      join fn_iu_routes_now() as route on route.route_code = blocked.route_code
      join event_outbox on event_outbox.id = blocked.event_id
      where route.decision <> 'blocked'
      order by blocked.route_code, event_outbox.event_subject, event_outbox.subject_seq, blocked.event_id
    loop
      exit when v_released >= p_limit;
      continue when v_blocked.is_ordered and exists (
        select
        from fn_iu_route_prior(
          p_cursor_code, v_blocked.route_code, v_blocked.event_type, v_blocked.event_filter, v_blocked.after_dead_letter,
          v_blocked.event_domain, v_blocked.event_subject, v_blocked.subject_seq) as prior
        where prior.state not in ('done', 'passed_over')
      );
      begin
        v_attempts := v_attempts
          + fn_iu_route_decide(p_cursor_code, array[v_blocked.event_id], v_blocked.route_code, true, v_detail);
      exception
        when others then
          if fn_iu_passes_on(sqlstate) then
            raise;
          end if;
          perform fn_iu_route_record_failure(
            p_cursor_code, v_blocked.event_id, v_blocked.route_code,
            (
              select max(iu_route_attempt.attempt_no) + 1
              from iu_route_attempt
              where iu_route_attempt.idempotency_key = v_blocked.idempotency_key
            ),
            'worker_process_error', sqlstate, sqlerrm);
          v_attempts := v_attempts + 1;
          v_dead_lettered := v_dead_lettered + 1;
      end;
      -- A route whose filter was changed meanwhile takes it no more; that is recorded, too.
      insert into iu_route_attempt (
        idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, detail)
      select
        v_blocked.idempotency_key, 1 + max(iu_route_attempt.attempt_no), v_blocked.event_id, v_blocked.route_code,
        p_cursor_code, 'skipped', 'skipped', v_detail || '{"because": "the route takes it no more"}'
      from iu_route_attempt
      where iu_route_attempt.idempotency_key = v_blocked.idempotency_key
        and not exists (
          select
          from iu_route_delivery
          where iu_route_delivery.event_id = v_blocked.event_id
            and iu_route_delivery.route_code = v_blocked.route_code
        )
      having (array_agg(iu_route_attempt.decision order by iu_route_attempt.attempt_no desc))[1] = 'blocked';
      v_released := v_released + 1;
    end loop;
  end if;

  return jsonb_build_object(
    'status', coalesce(v_status, case
      when v_released = 0 and exists (
        select
        from fn_iu_route_blocked(p_cursor_code) as blocked
        left join fn_iu_routes_now() as route on route.route_code = blocked.route_code
        where coalesce(route.decision, 'blocked') = 'blocked'
      ) then 'delivery_gate_closed'
      else 'released'
    end),
    'released', v_released,
    'still_blocked', (select count(*) from fn_iu_route_blocked(p_cursor_code)),
    'attempts_written', v_attempts,
    'dead_lettered', v_dead_lettered
  );
end
$$;
comment on function fn_iu_route_blocked_release(text, integer, text, text) is
  'Layer worker. Decides again about blocked events whose gate has opened, under the same key with the next attempt number.';

alter function fn_iu_route_blocked(text) owner to iu_core_owner;
alter function fn_iu_route_blocked_release(text, integer, text, text) owner to iu_core_owner;

revoke all on function fn_iu_route_blocked(text) from public;
revoke all on function fn_iu_route_blocked_release(text, integer, text, text) from public;
grant execute on function fn_iu_route_blocked(text) to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_blocked_release(text, integer, text, text) to iu_core_operator;
