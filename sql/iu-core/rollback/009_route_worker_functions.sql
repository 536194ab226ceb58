-- does:      removes the views of the route worker, and guards its functions, whose rollbacks come next.
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
