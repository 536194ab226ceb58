-- does:      removes plans, policies and settings of planned replays, as migration 012 found the schema.
-- called by: the rollback of macro dead-letter-replay, after that of its functions.
-- locks:     SHARE ROW EXCLUSIVE on the plans, taken before the count, so no plan is made behind it.
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

drop table iu_replay_policy;
drop table iu_replay_story;
drop table iu_replay_letter;
drop table iu_replay_run;
drop table iu_replay_progress;
drop table iu_replay_plan;
delete from dot_config
where dot_config.key in (
  'iu_core.replay_approval_above',
  'iu_core.replay_plan_hours',
  'iu_core.replay_max_letters'
);
