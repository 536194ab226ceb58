-- does:      proves, read-only, that the canary of the approved plan has passed: Y1 to Y3. A canary that fails stops its plan,
--            and its workflow ends well all the same, so this is where the run turns back.
-- called by: macro replay-after-fix, step canary-passed.
-- locks:     ACCESS SHARE on the tables it reads, also of schema sluice.
-- raises:    undefined_table where planned replays are missing.

with
  run as (
    select r.run_id, r.run_no, r.workflow_id
    from sluice.run as r
    where r.finished_at is null
  ),
  shown as (
    select substring(one.value ->> 'detail' from '[0-9a-f]{64}') as plan_hash
    from run
    join sluice.step_receipt as s using (run_id)
    cross join lateral jsonb_array_elements(s.checks) as one
    where s.kind = 'check'
      and s.direction = 'do'
      and one.value ->> 'checkId' = 'X2 one plan'
  ),
  replayed as (
    select u.*
    from run
    join iu_replay_run as u on starts_with(u.workflow_id, format('%s/%s/', run.workflow_id, run.run_no))
    order by u.started_at desc
    limit 1
  ),
  seen as (
    select
      u.plan_hash,
      u.run_no,
      u.outcome,
      u.because,
      p.canary_letters,
      g.state,
      g.canary,
      g.canary_failed,
      g.resolved,
      g.failed,
      g.approved_by,
      g.approved_by <> p.actor and u.plan_hash = shown.plan_hash as is_approved
    from (values (true)) as once (always)
    left join replayed as u on true
    left join iu_replay_plan as p using (plan_hash)
    left join iu_replay_progress as g using (plan_hash)
    left join shown on true
  ),
  failed as (
    select string_agg(format('%s %s: %s', coalesce(l.route_code, '(no route)'), l.dead_letter_id, coalesce(l.because, 'unknown')), '; ')
      as letters
    from (
      select iu_replay_letter.*
      from iu_replay_letter
      join replayed using (plan_hash)
      where iu_replay_letter.state = 'failed'
      order by iu_replay_letter.place
      limit 10
    ) as l
  ),
  in_flight as (
    select count(*) as letters
    from iu_replay_letter
    join replayed using (plan_hash)
    where iu_replay_letter.state = 'queued'
  )
select
  'Y1 the approved plan' as check_id,
  case when seen.is_approved then 'pass' else 'fail' end as verdict,
  format('run %s of plan %s, approved by %s', coalesce(seen.run_no::text, 'none'), coalesce(left(seen.plan_hash, 12), 'none'),
    coalesce(seen.approved_by, 'nobody')) as detail
from seen
union all
select
  'Y2 canary passed',
  case
    when seen.outcome in ('canary_passed', 'executed') and seen.canary in ('passed', 'none') then 'pass'
    else 'fail'
  end,
  format('the run ended as %s%s; canary of %s letters: %s, failed %s; in the plan resolved %s, failed %s%s',
    coalesce(seen.outcome, 'none'), coalesce(': ' || seen.because, ''), seen.canary_letters, seen.canary, seen.canary_failed,
    seen.resolved, seen.failed, coalesce(' (' || failed.letters || ')', ''))
from seen
cross join failed
union all
select
  'Y3 nothing in flight',
  case when in_flight.letters = 0 then 'pass' else 'fail' end,
  format('%s letters of the plan are in the queue of deliveries', in_flight.letters)
from in_flight;
