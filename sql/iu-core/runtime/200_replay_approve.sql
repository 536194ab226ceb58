-- does:      records with the plan that the gates of this macro run have shown, that a second person approved it: the one who
--            approved the run, in that person's words.
-- called by: macro replay-after-fix, after its approval. Its undo is rollback 200.
-- locks:     the plan's row of progress.
-- raises:    SL008 where no macro run is under way that was approved and has shown a plan; SL010 replay_not_approved where the
--            person who approves made the plan, replay_stale, replay_ended.

do $$
declare
  v_run record;
  v_plan_hash text;
  v_approval record;
begin
  select r.run_id, r.run_no, r.macro
  into v_run
  from sluice.run as r
  where r.finished_at is null;
  select substring(shown.value ->> 'detail' from '[0-9a-f]{64}')
  into v_plan_hash
  from sluice.step_receipt as s
  cross join lateral jsonb_array_elements(s.checks) as shown
  where s.run_id = v_run.run_id
    and s.kind = 'check'
    and s.direction = 'do'
    and shown.value ->> 'checkId' = 'X2 one plan';
  select a.actor, a.reason
  into v_approval
  from sluice.control_action as a
  where a.run_id = v_run.run_id
    and a.action = 'approve'
  order by a.action_no desc
  limit 1;
  if v_plan_hash is null or v_approval.actor is null then
    raise exception using
      errcode = 'SL008',
      message = format('no approval can be recorded: plan shown %s, approved by %s', coalesce(left(v_plan_hash, 12), 'none'),
        coalesce(v_approval.actor, 'nobody')),
      hint = 'Run it as a step of macro replay-after-fix. Nothing was changed.';
  end if;
  perform fn_iu_replay_approve(
    v_plan_hash, v_approval.actor, format('%s (macro %s, run %s)', v_approval.reason, v_run.macro, v_run.run_no));
  perform set_config('iu_core.replay_approved', format('plan %s, approved by %s', v_plan_hash, v_approval.actor), true);
end
$$;

select
  'approval recorded' as check_id,
  'pass' as verdict,
  current_setting('iu_core.replay_approved') as detail;
