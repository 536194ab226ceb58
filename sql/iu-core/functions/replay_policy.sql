-- does:      installs the policies of scheduled replays.
-- called by: macro dead-letter-replay.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_replay_policy_json(p_policy iu_replay_policy)
  returns jsonb
  language sql
  stable
  set search_path from current
as $$
-- does: a policy as people and programs read it; called by: functions below; locks: none; raises: nothing.
select jsonb_build_object(
  'policy', p_policy.policy_code,
  'isEnabled', p_policy.is_enabled,
  'filter', p_policy.filter,
  'settings', p_policy.policy,
  'minAgeSeconds', extract(epoch from p_policy.min_age)::bigint,
  'maxLetters', p_policy.max_letters,
  'maxReplays', p_policy.max_replays,
  'description', p_policy.description,
  'changedBy', p_policy.changed_by,
  'changeReason', p_policy.change_reason,
  'changedAt', p_policy.changed_at)
$$;
comment on function fn_iu_replay_policy_json(iu_replay_policy) is 'Layer replay. A policy as people and programs read it.';

create function fn_iu_replay_policies()
  returns jsonb
  language sql
  stable
  security definer
  set search_path from current
as $$
-- does: the policies of scheduled replays; called by: the scheduled replay; locks: none; raises: nothing.
select coalesce(jsonb_agg(fn_iu_replay_policy_json(iu_replay_policy) order by iu_replay_policy.policy_code), '[]')
from iu_replay_policy
$$;
comment on function fn_iu_replay_policies() is 'Layer replay. The policies of scheduled replays.';

create function fn_iu_replay_policy_set(
  p_policy_code text,
  p_filter jsonb,
  p_policy jsonb,
  p_min_age_seconds integer,
  p_max_letters integer,
  p_max_replays integer,
  p_description text,
  p_actor text,
  p_reason text
)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: makes a policy of scheduled replays, switched off, or changes one, which switches it off.
-- called by: sluice dead-letter policy set; locks: the row; raises: SL010 replay_invalid.
declare
  v_set iu_replay_policy;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true
    or (p_policy_code ~ '^[a-z0-9][a-z0-9_.-]*$' and length(p_policy_code) <= 100) is not true
    or (p_min_age_seconds between 0 and 31536000) is not true
    or (p_max_letters between 1 and fn_iu_config_positive_int('iu_core.replay_max_letters')) is not true
    or (p_max_replays between 1 and 1000) is not true
    or coalesce(p_filter, '{}') ?| array['ids', 'maxLetters', 'maxReplays', 'includeDryRun']
  then
    perform fn_iu_replay_refuse(
      'replay_invalid',
      format('Policy %s is not well given.', coalesce(p_policy_code, 'null')),
      'It has a plain name, an age from 0 to a year, limits from 1, actor and reason; its filter names no ids, no limits and no dry run.',
      'Nothing was changed.');
  end if;
  insert into iu_replay_policy (
    policy_code, filter, policy, min_age, max_letters, max_replays, description, changed_by, change_reason)
  values (
    p_policy_code, fn_iu_replay_filter_checked(coalesce(p_filter, '{}')),
    fn_iu_replay_policy_checked(coalesce(p_policy, '{}')), make_interval(secs => p_min_age_seconds), p_max_letters,
    p_max_replays, coalesce(p_description, ''), p_actor, p_reason)
  on conflict (policy_code) do update
  set
    is_enabled = false,
    filter = excluded.filter,
    policy = excluded.policy,
    min_age = excluded.min_age,
    max_letters = excluded.max_letters,
    max_replays = excluded.max_replays,
    description = excluded.description,
    changed_by = excluded.changed_by,
    change_reason = excluded.change_reason,
    changed_at = clock_timestamp()
  returning iu_replay_policy.*
  into v_set;
  return fn_iu_replay_policy_json(v_set);
end
$$;
comment on function fn_iu_replay_policy_set(text, jsonb, jsonb, integer, integer, integer, text, text, text) is
  'Layer replay. Makes or changes a policy of scheduled replays; it is switched off then.';

create function fn_iu_replay_policy_find(p_policy_code text)
  returns iu_replay_policy
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: a policy by name; called by: functions below; locks: its row; raises: SL010 replay_not_found.
declare
  v_found iu_replay_policy;
begin
  select iu_replay_policy.*
  into v_found
  from iu_replay_policy
  where iu_replay_policy.policy_code = p_policy_code
  for update;
  if not found then
    perform fn_iu_replay_refuse(
      'replay_not_found', format('There is no policy %s.', coalesce(p_policy_code, 'null')),
      'A policy is named as sluice dead-letter policy list shows it.', 'Nothing was changed.');
  end if;
  return v_found;
end
$$;
comment on function fn_iu_replay_policy_find(text) is 'Layer replay. A policy by name.';

create function fn_iu_replay_policy_switch(p_policy_code text, p_enabled boolean, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: switches a policy of scheduled replays on or off.
-- called by: sluice dead-letter policy enable, disable; locks: its row; raises: SL010 replay_not_found, replay_invalid.
declare
  v_found iu_replay_policy := fn_iu_replay_policy_find(p_policy_code);
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true or p_enabled is null then
    perform fn_iu_replay_refuse(
      'replay_invalid', 'A policy was to be switched without actor or reason.', 'It names who switches it and why.',
      'Nothing was changed.');
  end if;
  update iu_replay_policy
  set
    is_enabled = p_enabled,
    changed_by = p_actor,
    change_reason = p_reason,
    changed_at = clock_timestamp()
  where iu_replay_policy.policy_code = p_policy_code
  returning iu_replay_policy.*
  into v_found;
  return fn_iu_replay_policy_json(v_found);
end
$$;
comment on function fn_iu_replay_policy_switch(text, boolean, text, text) is
  'Layer replay. Switches a policy of scheduled replays on or off.';

create function fn_iu_replay_policy_remove(p_policy_code text, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: removes a policy; the plans that it made stay. Answers it as it was.
-- called by: sluice dead-letter policy remove; locks: its row; raises: SL010 replay_not_found, replay_invalid.
declare
  v_found constant iu_replay_policy := fn_iu_replay_policy_find(p_policy_code);
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    perform fn_iu_replay_refuse(
      'replay_invalid', 'A policy was to be removed without actor or reason.', 'It names who removes it and why.',
      'Nothing was changed.');
  end if;
  delete from iu_replay_policy
  where iu_replay_policy.policy_code = p_policy_code;
  return fn_iu_replay_policy_json(v_found);
end
$$;
comment on function fn_iu_replay_policy_remove(text, text, text) is 'Layer replay. Removes a policy of scheduled replays.';

create function fn_iu_replay_plan_by_policy(p_policy_code text, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: makes the plan of a policy that is switched on, or answers the one that it has made: one that is being executed, was
--       cancelled, waits for approval, or was made within five minutes and so may belong to an activity that is repeated;
--       planHash null where nothing is to be replayed.
-- called by: the scheduled replay; locks: the policy's row; raises: SL010 replay_not_found, replay_invalid where it is off.
declare
  v_found constant iu_replay_policy := fn_iu_replay_policy_find(p_policy_code);
  v_open text;
begin
  if not v_found.is_enabled then
    perform fn_iu_replay_refuse(
      'replay_invalid', format('Policy %s is switched off.', p_policy_code), 'Only one that is switched on makes plans.',
      'Nothing was planned.');
  end if;
  select plan.plan_hash
  into v_open
  from iu_replay_plan as plan
  join iu_replay_progress as progress on progress.plan_hash = plan.plan_hash
  where plan.policy_code = p_policy_code
    and plan.created_at >= v_found.changed_at
    and (
      progress.state = 'running'
      or (
        progress.state = 'cancelled'
        or progress.state = 'planned' and (plan.needs_approval or plan.created_at > clock_timestamp() - interval '5 minutes')
      ) and fn_iu_replay_stale_because(plan.plan_hash) is null
    )
  order by plan.created_at desc
  limit 1;
  if v_open is not null then
    return fn_iu_replay_plan_json(v_open);
  end if;
  return fn_iu_replay_freeze(
    v_found.filter || jsonb_build_object('maxLetters', v_found.max_letters, 'maxReplays', v_found.max_replays),
    v_found.policy, v_found.min_age, p_policy_code, p_actor, p_reason);
end
$$;
comment on function fn_iu_replay_plan_by_policy(text, text, text) is
  'Layer replay. Makes the plan of a policy that is switched on, or answers the open one that it has made.';

alter function fn_iu_replay_policy_json(iu_replay_policy) owner to iu_core_owner;
alter function fn_iu_replay_policies() owner to iu_core_owner;
alter function fn_iu_replay_policy_set(text, jsonb, jsonb, integer, integer, integer, text, text, text) owner to iu_core_owner;
alter function fn_iu_replay_policy_find(text) owner to iu_core_owner;
alter function fn_iu_replay_policy_switch(text, boolean, text, text) owner to iu_core_owner;
alter function fn_iu_replay_policy_remove(text, text, text) owner to iu_core_owner;
alter function fn_iu_replay_plan_by_policy(text, text, text) owner to iu_core_owner;

revoke all on function fn_iu_replay_policy_json(iu_replay_policy) from public;
revoke all on function fn_iu_replay_policies() from public;
revoke all on function fn_iu_replay_policy_set(text, jsonb, jsonb, integer, integer, integer, text, text, text) from public;
revoke all on function fn_iu_replay_policy_find(text) from public;
revoke all on function fn_iu_replay_policy_switch(text, boolean, text, text) from public;
revoke all on function fn_iu_replay_policy_remove(text, text, text) from public;
revoke all on function fn_iu_replay_plan_by_policy(text, text, text) from public;
grant execute on function fn_iu_replay_policy_set(text, jsonb, jsonb, integer, integer, integer, text, text, text) to iu_core_operator;
grant execute on function fn_iu_replay_policy_switch(text, boolean, text, text) to iu_core_operator;
grant execute on function fn_iu_replay_policy_remove(text, text, text) to iu_core_operator;
grant execute on function fn_iu_replay_plan_by_policy(text, text, text) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_policies() to iu_core_operator, iu_core_auditor, iu_core_worker;
