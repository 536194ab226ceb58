-- does:      installs the replay of one dead letter.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_dead_letter_replay(p_dead_letter_id uuid, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: tries a dead letter again as its route is now, under the same key with the next attempt number; what succeeds is
--       resolved, what fails again stays open with its count. Answers replayed; queued, where the target lies outside the
--       database: the letter follows the outcome of the delivery; or why nothing was tried: gate_closing,
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
  v_status := fn_iu_worker_enter('a replay');

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
    elsif exists (
      select
      from iu_route_delivery
      where iu_route_delivery.event_id = v_letter.event_id
        and iu_route_delivery.route_code = v_letter.route_code
        and iu_route_delivery.worker_code = v_letter.worker_code
    ) then
      v_status := 'queued';
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
    select 1 + greatest(max(iu_route_attempt.attempt_no), (v_letter.last_attempt ->> 'attempt_no')::integer)
    into strict v_attempt_no
    from iu_route_attempt
    where iu_route_attempt.idempotency_key = v_letter.idempotency_key;

    begin
      if v_letter.route_code is not null then
        perform fn_iu_route_decide(
          v_letter.worker_code, array[v_letter.event_id], v_letter.route_code, true,
          jsonb_build_object('replayed_by', p_actor, 'reason', p_reason));
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
        if fn_iu_passes_on(sqlstate) then
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
    v_status := case
      when v_decision is not null then 'replayed'
      when exists (
        select
        from iu_route_delivery
        where iu_route_delivery.event_id = v_letter.event_id
          and iu_route_delivery.route_code = v_letter.route_code
          and iu_route_delivery.worker_code = v_letter.worker_code
      ) then 'queued'
      else 'route_does_not_take_it'
    end;
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
        last_failed_at = clock_timestamp(),
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
    'attempt_no', case when v_status in ('replayed', 'queued') then v_attempt_no end
  );
end
$$;
comment on function fn_iu_route_dead_letter_replay(uuid, text, text) is
  'Layer worker. Tries a dead letter again under its key with the next attempt number; closed gates hold it, never send it.';

alter function fn_iu_route_dead_letter_replay(uuid, text, text) owner to iu_core_owner;

revoke all on function fn_iu_route_dead_letter_replay(uuid, text, text) from public;
grant execute on function fn_iu_route_dead_letter_replay(uuid, text, text) to iu_core_worker, iu_core_operator;
