-- does:      refuses to take planned replays back once a plan was made, before any function is gone.
-- called by: the rollback of macro dead-letter-replay, before those of its functions and of 012.
-- locks:     SHARE ROW EXCLUSIVE on the plans, taken before the count.
-- raises:    SL001 once a plan was made: what was replayed, by whom and why, is history.

lock table iu_replay_plan in share row exclusive mode;

do $$
declare
  v_plans bigint;
begin
  select count(*) into v_plans from iu_replay_plan;
  if v_plans > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s replay plans are kept; they are history', v_plans),
      hint = 'Nothing was changed; use the disable runbook.';
  end if;
end
$$;
