-- does:      takes the approval back that a run of this macro has recorded, so that whoever goes on with the plan asks for one
--            again, and asks a replay that this run still has under way to stop. What was replayed stays replayed: an effect
--            that went out cannot be taken back, and a plan that has ended is history.
-- called by: the rollback of macro replay-after-fix; safe to repeat, and where nothing was recorded.
-- locks:     the plan's row of progress.
-- raises:    nothing of its own.

do $$
declare
  v_actor constant text := coalesce(nullif(current_setting('sluice.actor', true), ''), session_user);
  v_reason constant text := coalesce(nullif(current_setting('sluice.reason', true), ''), 'the macro is rolled back');
  v_run record;
  v_plan_hash text;
  v_replay text;
begin
  select r.run_id, r.run_no, r.workflow_id, r.started_at
  into v_run
  from sluice.run as at_work
  join sluice.run as r on r.run_id = coalesce(at_work.undoes_run_id, at_work.run_id)
  where at_work.finished_at is null;
  select substring(shown.value ->> 'detail' from '[0-9a-f]{64}')
  into v_plan_hash
  from sluice.step_receipt as s
  cross join lateral jsonb_array_elements(s.checks) as shown
  where s.run_id = v_run.run_id
    and s.kind = 'check'
    and s.direction = 'do'
    and shown.value ->> 'checkId' = 'X2 one plan';

  update iu_replay_progress
  set
    approved_by = null,
    approved_at = null,
    updated_at = clock_timestamp()
  where iu_replay_progress.plan_hash = v_plan_hash
    and iu_replay_progress.state in ('planned', 'running', 'cancelled')
    and iu_replay_progress.approved_at >= v_run.started_at
    and iu_replay_progress.approved_by in (
      select a.actor
      from sluice.control_action as a
      where a.run_id = v_run.run_id
        and a.action = 'approve'
    );

  select u.run_id
  into v_replay
  from iu_replay_run as u
  join iu_replay_progress as g using (plan_hash)
  where u.plan_hash = v_plan_hash
    and u.run_no = g.run_no
    and g.state = 'running'
    and starts_with(u.workflow_id, format('%s/%s/', v_run.workflow_id, v_run.run_no));
  if found then
    perform fn_iu_replay_steer(v_plan_hash, v_replay, 'cancel', '{}', v_actor, v_reason);
  end if;
end
$$;
