-- does:      installs the beginning and the end of a replay's run: reading a plan, approving, opening, abandoning, closing.
-- called by: macro dead-letter-replay.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_replay_progress_json(p_progress iu_replay_progress)
  returns jsonb
  language sql
  stable
  set search_path from current
as $$
-- does: how far a plan has come, as people and programs read it; called by: every function of a run; locks: none; raises: nothing.
select jsonb_build_object(
  'planHash', p_progress.plan_hash,
  'state', p_progress.state,
  'letters', plan.letters,
  'resolved', p_progress.resolved,
  'failed', p_progress.failed,
  'skipped', p_progress.skipped,
  'inFlight', p_progress.queued,
  'waiting', plan.letters - p_progress.resolved - p_progress.failed - p_progress.skipped - p_progress.queued,
  'tries', p_progress.tries,
  'canary', p_progress.canary,
  'ratePerSecond', p_progress.rate_per_second,
  'heldBy', coalesce(p_progress.held_by, case when p_progress.gate_because is not null then 'gate' end),
  'heldBecause', coalesce(p_progress.held_because, p_progress.gate_because)
)
from iu_replay_plan as plan
where plan.plan_hash = p_progress.plan_hash
$$;
comment on function fn_iu_replay_progress_json(iu_replay_progress) is 'Layer replay. How far a plan has come, as people and programs read it.';

create function fn_iu_replay_find(p_plan_hash text)
  returns text
  language plpgsql
  stable
  set search_path from current
as $$
-- does: the whole hash of a plan, given as a whole or by its first eight digits or more.
-- called by: what takes a hash from people; locks: none; raises: SL010 replay_not_found.
declare
  v_found text[];
begin
  if p_plan_hash ~ '^[0-9a-f]{8,64}$' then
    v_found := array(
      select iu_replay_plan.plan_hash
      from iu_replay_plan
      where iu_replay_plan.plan_hash >= p_plan_hash
        and iu_replay_plan.plan_hash < p_plan_hash || 'g'
      limit 2);
  end if;
  if coalesce(cardinality(v_found), 0) <> 1 then
    perform fn_iu_replay_refuse(
      'replay_not_found',
      case
        when cardinality(v_found) = 2 then format('Several plans begin with %s.', p_plan_hash)
        else format('Database %s has no plan %s.', current_database(), left(coalesce(p_plan_hash, 'null'), 80))
      end,
      'A plan is named by its hash, or by the first eight hex digits of it or more.',
      'Nothing was changed. See sluice dead-letter plans, on the target that the plan was made for.');
  end if;
  return v_found[1];
end
$$;
comment on function fn_iu_replay_find(text) is 'Layer replay. The whole hash of a plan that is named by the beginning of it.';

create function fn_iu_replay_read(p_plan_hash text)
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path from current
as $$
-- does: a plan with its progress, its runs and its story.
-- called by: sluice dead-letter, the report; locks: none; raises: SL010 replay_not_found.
declare
  v_plan_hash constant text := fn_iu_replay_find(p_plan_hash);
begin
  return jsonb_build_object(
    'plan', fn_iu_replay_plan_json(v_plan_hash),
    'progress', (
      select fn_iu_replay_progress_json(iu_replay_progress)
      from iu_replay_progress
      where iu_replay_progress.plan_hash = v_plan_hash
    ),
    'runs', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'runNo', run.run_no, 'workflowId', run.workflow_id, 'runId', run.run_id,
          'temporalNamespace', run.temporal_namespace, 'temporalAddress', run.temporal_address,
          'temporalClusterId', run.temporal_cluster_id, 'actor', run.actor,
          'reason', run.reason, 'startedAt', run.started_at, 'endedAt', run.ended_at, 'outcome', run.outcome,
          'because', run.because)
        order by run.run_no)
      from iu_replay_run as run
      where run.plan_hash = v_plan_hash
    ), '[]'),
    'story', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'at', story.at, 'what', story.what, 'actor', story.actor, 'reason', story.reason, 'detail', story.detail)
        order by story.story_id)
      from iu_replay_story as story
      where story.plan_hash = v_plan_hash
    ), '[]')
  );
end
$$;
comment on function fn_iu_replay_read(text) is 'Layer replay. A plan with its progress, its runs and its story.';

create function fn_iu_replay_route_change(p_plan_hash text, p_route_code text)
  returns text
  language sql
  stable
  set search_path from current
as $$
-- does: what has become of a route since a plan was made, in words; null where it does the same.
-- called by: fn_iu_replay_stale_because, fn_iu_replay_step; locks: none; raises: nothing.
select case
  when route.route_code is null then format('route %s was removed', p_route_code)
  when fn_iu_replay_route_digest(route) = planned.value ->> 'digest' then null
  when not route.enabled then format('route %s was switched off%s', p_route_code, coalesce(' by ' || route.disabled_by, ''))
  when route.target_ref <> planned.value ->> 'targetRef'
    then format('route %s now goes to %s', p_route_code, route.target_ref)
  when route.dry_run then format('route %s is in dry run now', p_route_code)
  else format('route %s was changed', p_route_code)
end
from iu_replay_plan as plan
cross join jsonb_array_elements(plan.routes) as planned
left join iu_outbound_route as route on route.route_code = p_route_code
where plan.plan_hash = p_plan_hash
  and planned.value ->> 'route' = p_route_code
$$;
comment on function fn_iu_replay_route_change(text, text) is
  'Layer replay. What has become of a route since a plan was made; null where it does the same.';

create function fn_iu_replay_stale_because(p_plan_hash text)
  returns text
  language sql
  stable
  set search_path from current
as $$
-- does: why a plan is not to be executed any more: its time is over, or a route does something else now; null where it is.
-- called by: fn_iu_replay_open, fn_iu_replay_approve, the gates of macro replay-after-fix; locks: none; raises: nothing.
select string_agg(reasons.because, '; ')
from (
  select format('it has expired at %s', to_char(plan.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) as because
  from iu_replay_plan as plan
  where plan.plan_hash = p_plan_hash
    and plan.expires_at <= clock_timestamp()
  union all
  select fn_iu_replay_route_change(plan.plan_hash, planned.value ->> 'route')
  from iu_replay_plan as plan
  cross join jsonb_array_elements(plan.routes) as planned
  where plan.plan_hash = p_plan_hash
) as reasons
where reasons.because is not null
$$;
comment on function fn_iu_replay_stale_because(text) is
  'Layer replay. Why a plan is not to be executed any more: expired, or a route was changed or removed; null where it may be.';

create function fn_iu_replay_approve(p_plan_hash text, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: notes that a second person approves a plan; approving it again changes nothing.
-- called by: sluice dead-letter approve, macro replay-after-fix.
-- locks: the plan's progress.
-- raises: SL010 replay_not_found, replay_ended, replay_stale, replay_not_approved (by who made it, or by nobody).
declare
  v_plan_hash constant text := fn_iu_replay_find(p_plan_hash);
  v_plan iu_replay_plan;
  v_progress iu_replay_progress;
  v_stale text;
begin
  select iu_replay_progress.*
  into strict v_progress
  from iu_replay_progress
  where iu_replay_progress.plan_hash = v_plan_hash
  for update;
  select iu_replay_plan.*
  into strict v_plan
  from iu_replay_plan
  where iu_replay_plan.plan_hash = v_plan_hash;
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true or lower(btrim(p_actor)) = lower(btrim(v_plan.actor)) then
    perform fn_iu_replay_refuse(
      'replay_not_approved',
      format('Plan %s was not approved: %s.', left(v_plan_hash, 16),
        case when lower(btrim(p_actor)) = lower(btrim(v_plan.actor)) then p_actor || ' has made it' else 'actor or reason is missing' end),
      'Another person than the one who made a plan approves it, and says why.',
      'Nothing was changed.');
  end if;
  if v_progress.state in ('executed', 'stopped') then
    perform fn_iu_replay_refuse(
      'replay_ended', format('Plan %s is %s.', left(v_plan_hash, 16), v_progress.state),
      'Only a plan that has not ended is approved.', 'Nothing was changed. Make a new plan of what is still open.');
  end if;
  v_stale := fn_iu_replay_stale_because(v_plan_hash);
  if v_stale is not null then
    perform fn_iu_replay_refuse(
      'replay_stale', format('Plan %s is stale: %s.', left(v_plan_hash, 16), v_stale),
      'A plan is approved as it will be executed.', 'Nothing was changed. Make a new plan.');
  end if;
  if v_progress.approved_by is null then
    update iu_replay_progress
    set
      approved_by = p_actor,
      approved_at = clock_timestamp(),
      updated_at = clock_timestamp()
    where iu_replay_progress.plan_hash = v_plan_hash;
    insert into iu_replay_story (plan_hash, what, actor, reason)
    values (v_plan_hash, 'approved', p_actor, p_reason);
  end if;
  return fn_iu_replay_plan_json(v_plan_hash);
end
$$;
comment on function fn_iu_replay_approve(text, text, text) is 'Layer replay. A second person approves a plan.';

create function fn_iu_replay_run_json(p_run iu_replay_run)
  returns jsonb
  language sql
  immutable
  set search_path from current
as $$
-- does: where Temporal has a run, for errors that name it; called by: fn_iu_replay_open; locks: none; raises: nothing.
select jsonb_build_object(
  'workflowId', p_run.workflow_id,
  'runId', p_run.run_id,
  'temporalNamespace', p_run.temporal_namespace,
  'temporalAddress', p_run.temporal_address,
  'temporalClusterId', p_run.temporal_cluster_id)
$$;
comment on function fn_iu_replay_run_json(iu_replay_run) is 'Layer replay. Where Temporal has a run.';

create function fn_iu_replay_open(p_plan_hash text, p_run jsonb, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: begins a run of a plan, or goes on with one that was cancelled; without a hash, of the one plan that is open.
--       Opening it again for the same run changes nothing.
-- called by: the replay workflow, before anything is tried.
-- locks: SHARE ROW EXCLUSIVE on the runs, so that two never begin with the same letters; the plan's progress.
-- raises: SL010 replay_not_found, replay_ended, replay_stale, replay_not_approved; replay_under_way and replay_overlaps, whose
--         DETAIL names the run that is in the way.
declare
  v_plan_hash text;
  v_open text[];
  v_plan iu_replay_plan;
  v_progress iu_replay_progress;
  v_run iu_replay_run;
  v_stale text;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true or exists (
    select
    from unnest(array['workflowId', 'runId', 'temporalNamespace', 'temporalAddress', 'temporalClusterId']) as needed (key)
    where (p_run ->> needed.key ~ '\S') is not true
  ) then
    perform fn_iu_replay_refuse(
      'replay_invalid', 'A run was opened without actor or reason, or does not say where Temporal has it.',
      'It names who starts it, why, and itself.',
      'Nothing was changed.');
  end if;
  lock table iu_replay_run in share row exclusive mode;
  if p_plan_hash is not null then
    v_plan_hash := fn_iu_replay_find(p_plan_hash);
  else
    v_open := array(
      select progress.plan_hash
      from iu_replay_progress as progress
      left join iu_replay_run as run
        on run.plan_hash = progress.plan_hash
        and run.run_no = progress.run_no
      where progress.state in ('planned', 'cancelled')
        and fn_iu_replay_stale_because(progress.plan_hash) is null
        or progress.state = 'running'
        and run.run_id = p_run ->> 'runId'
      limit 20);
    if v_open = '{}' then
      -- One that is being executed is in the way, or its workflow is gone and it may be taken over: refused below.
      v_open := array(
        select iu_replay_progress.plan_hash
        from iu_replay_progress
        where iu_replay_progress.state = 'running'
        limit 2);
    end if;
    if cardinality(v_open) <> 1 then
      perform fn_iu_replay_refuse(
        case cardinality(v_open) when 0 then 'replay_not_found' else 'replay_invalid' end,
        case cardinality(v_open)
          when 0 then format('No plan is open in database %s.', current_database())
          else format('Several plans are open: %s.', array_to_string(array(select left(h, 16) from unnest(v_open) as h), ', '))
        end,
        'Without a hash there is exactly one plan that is neither ended nor stale.',
        'Nothing was changed. Name the plan.');
    end if;
    v_plan_hash := v_open[1];
  end if;
  select iu_replay_progress.*
  into strict v_progress
  from iu_replay_progress
  where iu_replay_progress.plan_hash = v_plan_hash
  for update;
  select iu_replay_plan.*
  into strict v_plan
  from iu_replay_plan
  where iu_replay_plan.plan_hash = v_plan_hash;
  select iu_replay_run.*
  into v_run
  from iu_replay_run
  where iu_replay_run.plan_hash = v_plan_hash
    and iu_replay_run.run_no = v_progress.run_no;

  if v_progress.state = 'running' then
    if v_run.run_id = p_run ->> 'runId' then
      return jsonb_build_object('planHash', v_plan_hash, 'progress', fn_iu_replay_progress_json(v_progress));
    end if;
    perform fn_iu_replay_refuse(
      'replay_under_way',
      format('Plan %s is being executed by workflow %s.', left(v_plan_hash, 16), v_run.workflow_id),
      'A plan has one run at a time.',
      'Nothing was changed. Follow that run, or cancel it.',
      jsonb_build_object('other', fn_iu_replay_run_json(v_run), 'otherPlanHash', v_plan_hash));
  end if;
  if v_progress.state in ('executed', 'stopped') then
    perform fn_iu_replay_refuse(
      'replay_ended',
      format('Plan %s is %s already.', left(v_plan_hash, 16), v_progress.state),
      'A plan is executed once.',
      'Nothing was changed. Make a new plan of what is still open.');
  end if;
  if exists (
    select
    from iu_replay_run
    where iu_replay_run.plan_hash = v_plan_hash
      and iu_replay_run.run_id = p_run ->> 'runId'
  ) then
    perform fn_iu_replay_refuse(
      'replay_ended',
      format('Run %s of plan %s has ended.', p_run ->> 'runId', left(v_plan_hash, 16)),
      'A run is opened once.',
      'Nothing was changed. Start a new run: it goes on where that one ended.');
  end if;
  v_stale := fn_iu_replay_stale_because(v_plan_hash);
  if v_stale is not null then
    perform fn_iu_replay_refuse(
      'replay_stale',
      format('Plan %s is stale: %s.', left(v_plan_hash, 16), v_stale),
      'A plan is executed before it expires, and with the routes that it shows.',
      'Nothing was changed. Make a new plan.');
  end if;
  if v_plan.needs_approval and v_progress.approved_by is null then
    perform fn_iu_replay_refuse(
      'replay_not_approved',
      format('Plan %s has %s letters, and nobody has approved it.', left(v_plan_hash, 16), v_plan.letters),
      'Above iu_core.replay_approval_above letters a second person approves.',
      format('Nothing was changed. Ask for: sluice dead-letter approve %s.', left(v_plan_hash, 16)));
  end if;
  select run.*
  into v_run
  from iu_replay_progress as progress
  join iu_replay_run as run
    on run.plan_hash = progress.plan_hash
    and run.run_no = progress.run_no
  where progress.state = 'running'
    and exists (
      select
      from iu_replay_letter as mine
      join iu_replay_letter as theirs on theirs.dead_letter_id = mine.dead_letter_id
      where mine.plan_hash = v_plan_hash
        and theirs.plan_hash = progress.plan_hash
        and mine.state not in ('resolved', 'failed', 'skipped')
        and theirs.state not in ('resolved', 'failed', 'skipped')
    )
  limit 1;
  if found then
    perform fn_iu_replay_refuse(
      'replay_overlaps',
      format('Plan %s shares letters with plan %s, which workflow %s is executing.',
        left(v_plan_hash, 16), left(v_run.plan_hash, 16), v_run.workflow_id),
      'Two replays under way have no letter in common.',
      'Nothing was changed. Wait for that run, or cancel it.',
      jsonb_build_object('other', fn_iu_replay_run_json(v_run), 'otherPlanHash', v_run.plan_hash));
  end if;

  insert into iu_replay_run (
    plan_hash, run_no, workflow_id, run_id, temporal_namespace, temporal_address, temporal_cluster_id, actor, reason,
    failed_before)
  values (
    v_plan_hash, v_progress.run_no + 1, p_run ->> 'workflowId', p_run ->> 'runId', p_run ->> 'temporalNamespace',
    p_run ->> 'temporalAddress', p_run ->> 'temporalClusterId', p_actor, p_reason, v_progress.failed);
  update iu_replay_progress
  set
    state = 'running',
    run_no = iu_replay_progress.run_no + 1,
    stops_by = null,
    held_by = null,
    held_because = null,
    gate_because = null,
    updated_at = clock_timestamp()
  where iu_replay_progress.plan_hash = v_plan_hash
  returning iu_replay_progress.*
  into v_progress;
  insert into iu_replay_story (plan_hash, what, actor, reason, detail)
  values (v_plan_hash, 'opened', p_actor, p_reason, p_run);
  return jsonb_build_object('planHash', v_plan_hash, 'progress', fn_iu_replay_progress_json(v_progress));
end
$$;
comment on function fn_iu_replay_open(text, jsonb, text, text) is
  'Layer replay. Begins a run of a plan: unknown, stale, ended, unapproved and overlapping plans are refused.';

create function fn_iu_replay_end(p_plan_hash text, p_run_id text, p_outcome text, p_because text)
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: ends the run of a plan, once; what it has queued and nobody delivers at this moment is taken back.
-- called by: fn_iu_replay_close, fn_iu_replay_abandon.
-- locks: ROW EXCLUSIVE on the runs, then the plan's progress, its letters.
-- raises: SL010 replay_not_found for a run that is none of the plan; replay_invalid for executed with letters left.
declare
  v_progress iu_replay_progress;
  v_state constant text := case p_outcome
    when 'executed' then 'executed'
    when 'stopped' then 'stopped'
    when 'canary_passed' then 'planned'
    else 'cancelled'
  end;
begin
  -- Before the progress, in the order of fn_iu_replay_open: the other way round the two wait for each other.
  lock table iu_replay_run in row exclusive mode;
  select iu_replay_progress.*
  into v_progress
  from iu_replay_progress
  where iu_replay_progress.plan_hash = p_plan_hash
  for update;
  if p_outcome = 'executed' and v_progress.state = 'running'
    and not exists (
      select
      from iu_replay_plan
      where iu_replay_plan.plan_hash = p_plan_hash
        and iu_replay_plan.letters = v_progress.resolved + v_progress.failed + v_progress.skipped
    )
  then
    perform fn_iu_replay_refuse(
      'replay_invalid', format('Plan %s has letters that have not ended.', left(p_plan_hash, 16)),
      'A plan is executed once each of its letters is resolved, failed or skipped.', 'Nothing was changed.');
  end if;
  update iu_replay_run
  set
    ended_at = clock_timestamp(),
    outcome = p_outcome,
    because = p_because
  where iu_replay_run.plan_hash = p_plan_hash
    and iu_replay_run.run_id = p_run_id
    and iu_replay_run.ended_at is null;
  if not found then
    if not exists (
      select
      from iu_replay_run
      where iu_replay_run.plan_hash = p_plan_hash
        and iu_replay_run.run_id = p_run_id
    ) then
      perform fn_iu_replay_refuse(
        'replay_not_found', format('Plan %s has no run %s.', left(p_plan_hash, 16), p_run_id),
        'A run ends the plan that it has opened.', 'Nothing was changed.');
    end if;
    return v_progress;
  end if;
  if v_progress.queued > 0 then
    v_progress := fn_iu_replay_collect(v_progress, true);
    perform fn_iu_replay_keep(v_progress);
  end if;
  update iu_replay_progress
  set
    -- A run that was cancelled after its last letter leaves nothing for another one.
    state = case
      when v_state = 'cancelled'
        and iu_replay_progress.resolved + iu_replay_progress.failed + iu_replay_progress.skipped = (
          select iu_replay_plan.letters
          from iu_replay_plan
          where iu_replay_plan.plan_hash = p_plan_hash
        ) then 'executed'
      else v_state
    end,
    stops_by = null,
    held_by = null,
    held_because = null,
    gate_because = null,
    updated_at = clock_timestamp()
  where iu_replay_progress.plan_hash = p_plan_hash
  returning iu_replay_progress.*
  into v_progress;
  insert into iu_replay_story (plan_hash, what, actor, reason, detail)
  values (
    p_plan_hash, 'ended', 'replay', coalesce(p_because, p_outcome),
    jsonb_build_object('outcome', p_outcome, 'progress', fn_iu_replay_progress_json(v_progress)));
  return v_progress;
end
$$;
comment on function fn_iu_replay_end(text, text, text, text) is 'Layer replay. Ends the run of a plan, once.';

create function fn_iu_replay_close(p_plan_hash text, p_run_id text, p_outcome text, p_because text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: ends the run of a plan: executed and stopped are final, after any other outcome a new run goes on.
-- called by: the replay workflow, at its end; repeating it changes nothing.
-- locks: the plan's progress; raises: SL010 replay_not_found, replay_invalid for an outcome that is none.
begin
  if (p_outcome in ('executed', 'canary_passed', 'stopped', 'cancelled', 'failed')) is not true then
    perform fn_iu_replay_refuse(
      'replay_invalid', format('A run was to end as %s.', coalesce(p_outcome, 'null')),
      'It ends as executed, canary_passed, stopped, cancelled or failed.', 'Nothing was changed.');
  end if;
  return fn_iu_replay_progress_json(fn_iu_replay_end(p_plan_hash, p_run_id, p_outcome, p_because));
end
$$;
comment on function fn_iu_replay_close(text, text, text, text) is 'Layer replay. Ends the run of a plan.';

create function fn_iu_replay_abandon(p_plan_hash text, p_run_id text, p_because text)
  returns void
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: ends a run whose workflow is gone, so that a new one may go on.
-- called by: the replay workflow, once Temporal says that the other one is not open any more.
-- locks: the plan's progress; raises: SL010 replay_not_found.
begin
  perform fn_iu_replay_end(p_plan_hash, p_run_id, 'abandoned', p_because);
end
$$;
comment on function fn_iu_replay_abandon(text, text, text) is 'Layer replay. Ends a run whose workflow is gone.';

alter function fn_iu_replay_progress_json(iu_replay_progress) owner to iu_core_owner;
alter function fn_iu_replay_find(text) owner to iu_core_owner;
alter function fn_iu_replay_read(text) owner to iu_core_owner;
alter function fn_iu_replay_stale_because(text) owner to iu_core_owner;
alter function fn_iu_replay_route_change(text, text) owner to iu_core_owner;
alter function fn_iu_replay_approve(text, text, text) owner to iu_core_owner;
alter function fn_iu_replay_run_json(iu_replay_run) owner to iu_core_owner;
alter function fn_iu_replay_open(text, jsonb, text, text) owner to iu_core_owner;
alter function fn_iu_replay_end(text, text, text, text) owner to iu_core_owner;
alter function fn_iu_replay_close(text, text, text, text) owner to iu_core_owner;
alter function fn_iu_replay_abandon(text, text, text) owner to iu_core_owner;

revoke all on function fn_iu_replay_progress_json(iu_replay_progress) from public;
revoke all on function fn_iu_replay_find(text) from public;
revoke all on function fn_iu_replay_read(text) from public;
revoke all on function fn_iu_replay_stale_because(text) from public;
revoke all on function fn_iu_replay_route_change(text, text) from public;
revoke all on function fn_iu_replay_approve(text, text, text) from public;
revoke all on function fn_iu_replay_run_json(iu_replay_run) from public;
revoke all on function fn_iu_replay_open(text, jsonb, text, text) from public;
revoke all on function fn_iu_replay_end(text, text, text, text) from public;
revoke all on function fn_iu_replay_close(text, text, text, text) from public;
revoke all on function fn_iu_replay_abandon(text, text, text) from public;
grant execute on function fn_iu_replay_read(text) to iu_core_operator, iu_core_auditor, iu_core_worker;
grant execute on function fn_iu_replay_approve(text, text, text) to iu_core_operator;
grant execute on function fn_iu_replay_open(text, jsonb, text, text) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_close(text, text, text, text) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_abandon(text, text, text) to iu_core_operator, iu_core_worker;
