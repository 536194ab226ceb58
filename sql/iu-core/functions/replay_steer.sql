-- does:      installs the steering of a run: hold, release, rate, skip, cancel.
-- called by: macro dead-letter-replay.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_replay_skip(p_progress iu_replay_progress, p_value jsonb)
  returns iu_replay_progress
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: leaves letters of a plan alone that were not tried yet or wait for another try: those of a route, of a kind of
--       failure, or by id. They stay open. What waits behind one of them in its subject goes on, or is skipped with it.
-- called by: fn_iu_replay_steer; locks: the rows; raises: SL010 replay_invalid, dead_letter_not_found.
declare
  v_progress iu_replay_progress := p_progress;
  v_ids constant text[] := case when p_value ? 'ids' then fn_iu_replay_texts(p_value, 'ids') end;
  v_foreign text;
  v_places integer[];
  v_from_behind integer[];
begin
  perform fn_iu_replay_keys_known(p_value, 'skip', array['route', 'fingerprint', 'ids']);
  if (select count(*) from jsonb_object_keys(p_value)) <> 1
    or jsonb_typeof(coalesce(p_value -> 'route', '""')) <> 'string'
    or jsonb_typeof(coalesce(p_value -> 'fingerprint', '""')) <> 'string'
  then
    perform fn_iu_replay_refuse(
      'replay_invalid', format('A skip names %s.', left(p_value::text, 200)),
      'It names a route, a fingerprint or ids, one of the three.', 'Nothing was skipped.');
  end if;
  select string_agg(asked.id, ', ')
  into v_foreign
  from unnest(v_ids) as asked (id)
  where case when asked.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      not exists (
        select
        from iu_replay_letter
        where iu_replay_letter.dead_letter_id = asked.id::uuid
          and iu_replay_letter.plan_hash = p_progress.plan_hash
      )
      else true
    end;
  if v_foreign is not null then
    perform fn_iu_replay_refuse(
      'dead_letter_not_found', format('The plan has no dead letter %s.', v_foreign), 'Ids are those of letters of the plan.',
      'Nothing was skipped.');
  end if;
  with
    asked as materialized (
      select
        iu_replay_letter.place,
        iu_replay_letter.state = 'behind' as is_behind
      from iu_replay_letter
      where iu_replay_letter.plan_hash = p_progress.plan_hash
        and iu_replay_letter.state in ('waiting', 'behind')
        and (not p_value ? 'route' or iu_replay_letter.route_code = p_value ->> 'route')
        and (not p_value ? 'fingerprint' or iu_replay_letter.fingerprint = p_value ->> 'fingerprint')
        and (v_ids is null or iu_replay_letter.dead_letter_id::text = any (v_ids))
    ),
    skipped as (
      update iu_replay_letter
      set
        state = 'skipped',
        due_at = null,
        because = 'skipped_by_request'
      from asked
      where iu_replay_letter.plan_hash = p_progress.plan_hash
        and iu_replay_letter.place = asked.place
      returning
        iu_replay_letter.place,
        asked.is_behind
    )
  select
    coalesce(array_agg(skipped.place), '{}'),
    coalesce(array_agg(skipped.place) filter (where skipped.is_behind), '{}')
  into v_places, v_from_behind
  from skipped;
  v_progress.skipped := v_progress.skipped
    + cardinality(v_places)
    + fn_iu_replay_followers(p_progress.plan_hash, v_places, v_from_behind);
  return v_progress;
end
$$;
comment on function fn_iu_replay_skip(iu_replay_progress, jsonb) is
  'Layer replay. Leaves letters of a plan alone that were not tried yet, or wait for another try.';

create function fn_iu_replay_steer(
  p_plan_hash text,
  p_run_id text,
  p_what text,
  p_value jsonb,
  p_actor text,
  p_reason text
)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: steers the run of a plan: the next batch begins as it says. hold and cancel let nothing further begin, and take back
--       what is queued and nobody delivers at this moment; release goes on; rate sets letters per second (null: as fast as it
--       goes); skip leaves letters alone. Answers the progress.
-- called by: the replay workflow.
-- locks: the plan's progress: it waits for the batch at work.
-- raises: SL010 replay_not_found, replay_ended, replay_invalid, dead_letter_not_found.
declare
  v_progress iu_replay_progress := fn_iu_replay_enter(p_plan_hash, p_run_id);
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true
    or (p_what in ('hold', 'release', 'rate', 'skip', 'cancel')) is not true
    or (p_what = 'rate' and (jsonb_typeof(p_value) = 'object' and p_value ? 'ratePerSecond') is not true)
  then
    perform fn_iu_replay_refuse(
      'replay_invalid', format('A run was to be steered by %s.', coalesce(p_what, 'null')),
      'It is hold, release, rate, skip or cancel, with actor and reason; rate with ratePerSecond.', 'Nothing was changed.');
  end if;
  case p_what
    when 'hold' then
      v_progress.held_by := p_actor;
      v_progress.held_because := p_reason;
    when 'release' then
      v_progress.held_by := null;
      v_progress.held_because := null;
    when 'rate' then
      v_progress.rate_per_second := (
        fn_iu_replay_policy_checked(jsonb_build_object('ratePerSecond', p_value -> 'ratePerSecond')) ->> 'ratePerSecond'
      )::numeric;
    when 'skip' then
      v_progress := fn_iu_replay_skip(v_progress, coalesce(p_value, '{}'));
    else
      v_progress.stops_by := p_actor;
  end case;
  update iu_replay_progress
  set
    held_by = v_progress.held_by,
    held_because = v_progress.held_because,
    rate_per_second = v_progress.rate_per_second,
    stops_by = v_progress.stops_by
  where iu_replay_progress.plan_hash = p_plan_hash;
  perform fn_iu_replay_keep(v_progress);
  insert into iu_replay_story (plan_hash, what, actor, reason, detail)
  values (p_plan_hash, p_what, p_actor, p_reason, coalesce(p_value, '{}'));
  return fn_iu_replay_progress_json(v_progress);
end
$$;
comment on function fn_iu_replay_steer(text, text, text, jsonb, text, text) is
  'Layer replay. Holds, releases, slows, shortens or cancels the run of a plan.';

create function fn_iu_replay_leave_out(p_plan_hash text, p_value jsonb, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: leaves letters of a plan out before it is executed: those of a route, of a kind of failure, or by id. They stay open;
--       the plan keeps its hash. Answers the progress.
-- called by: sluice dead-letter plan, schedules, where trying letters out has shown that they still fail.
-- locks: the plan's progress.
-- raises: SL010 replay_not_found, replay_ended, replay_under_way, replay_invalid, dead_letter_not_found.
declare
  v_plan_hash constant text := fn_iu_replay_find(p_plan_hash);
  v_progress iu_replay_progress;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    perform fn_iu_replay_refuse(
      'replay_invalid', 'Letters were to be left out without actor or reason.', 'It is said by whom and why.',
      'Nothing was changed.');
  end if;
  select iu_replay_progress.*
  into strict v_progress
  from iu_replay_progress
  where iu_replay_progress.plan_hash = v_plan_hash
  for update;
  if v_progress.state not in ('planned', 'cancelled') then
    perform fn_iu_replay_refuse(
      case v_progress.state when 'running' then 'replay_under_way' else 'replay_ended' end,
      format('Plan %s is %s.', left(v_plan_hash, 16), v_progress.state),
      'Letters are left out of a plan before it is executed; its run skips them otherwise.', 'Nothing was changed.');
  end if;
  v_progress := fn_iu_replay_skip(v_progress, coalesce(p_value, '{}'));
  perform fn_iu_replay_keep(v_progress);
  insert into iu_replay_story (plan_hash, what, actor, reason, detail)
  values (v_plan_hash, 'skip', p_actor, p_reason, p_value);
  return fn_iu_replay_progress_json(v_progress);
end
$$;
comment on function fn_iu_replay_leave_out(text, jsonb, text, text) is
  'Layer replay. Leaves letters of a plan out before it is executed; they stay open.';

alter function fn_iu_replay_skip(iu_replay_progress, jsonb) owner to iu_core_owner;
alter function fn_iu_replay_steer(text, text, text, jsonb, text, text) owner to iu_core_owner;
alter function fn_iu_replay_leave_out(text, jsonb, text, text) owner to iu_core_owner;

revoke all on function fn_iu_replay_skip(iu_replay_progress, jsonb) from public;
revoke all on function fn_iu_replay_steer(text, text, text, jsonb, text, text) from public;
grant execute on function fn_iu_replay_steer(text, text, text, jsonb, text, text) to iu_core_operator, iu_core_worker;
revoke all on function fn_iu_replay_leave_out(text, jsonb, text, text) from public;
grant execute on function fn_iu_replay_leave_out(text, jsonb, text, text) to iu_core_operator, iu_core_worker;
