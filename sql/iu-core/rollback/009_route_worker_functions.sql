-- does:      removes the functions and views of the route worker, as migration 009 found the schema.
-- called by: the rollback of macro event-worker, before that of 008.
-- locks:     SHARE ROW EXCLUSIVE on audit and dead letters, taken before the count, so nothing arrives behind it.
-- raises:    SL001 while an attempt or a dead letter exists.

lock table iu_route_attempt, iu_route_dead_letter in share row exclusive mode;

do $$
declare
  v_attempts bigint;
  v_dead_letters bigint;
begin
  select count(*) into v_attempts from iu_route_attempt;
  select count(*) into v_dead_letters from iu_route_dead_letter;
  if v_attempts + v_dead_letters > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s attempts and %s dead letters exist; without the worker nobody could replay or prove them',
        v_attempts, v_dead_letters),
      hint = 'They are history and are never deleted. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

drop view v_iu_route_dead_letter_open;
drop view v_iu_event_backlog;
drop view v_iu_route_attempt_summary;
drop function fn_iu_outbox_rebase(text, text);
drop function fn_iu_gate_wait(text);
drop function fn_iu_gate_close(text, text, text);
drop function fn_iu_conservation();
drop function fn_iu_route_worker_health();
drop function fn_iu_horizon_blocker();
drop function fn_iu_route_dead_letter_replay(uuid, text, text);
drop function fn_iu_route_worker_run(text, integer);
drop function fn_iu_worker_no_op(text);
drop function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text);
drop function fn_iu_route_decide(text, uuid[], text, integer);
drop function fn_iu_route_seam_fails_closed();
drop function fn_iu_route_deliver(text, uuid, jsonb);
drop function fn_iu_delivery_open(text);
drop function fn_iu_worker_lock_key();
