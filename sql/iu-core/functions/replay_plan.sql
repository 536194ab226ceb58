-- does:      installs the making of replay plans: checks of filter and policy, the freezing of letters, what trying out showed.
-- called by: macro dead-letter-replay.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_replay_refuse(
  p_code text,
  p_message text,
  p_expected text,
  p_safe text,
  p_more jsonb default '{}'
)
  returns void
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: refuses, with the error's code for programs in its DETAIL; called by: functions of the layer; locks: none.
-- raises: SL010, always.
begin
  raise exception using
    errcode = 'SL010',
    message = p_message,
    detail = (p_more || jsonb_build_object('code', p_code, 'expected', p_expected))::text,
    hint = p_safe;
end
$$;
comment on function fn_iu_replay_refuse(text, text, text, text, jsonb) is
  'Layer replay. Raises SL010: what is true, what was expected, what is safe now, and a code for programs.';

create function fn_iu_replay_number(p_given jsonb, p_key text, p_default numeric, p_min numeric, p_max numeric, p_whole boolean)
  returns numeric
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: a number of a policy or a filter, or its default where the key is absent.
-- called by: fn_iu_replay_policy_checked, fn_iu_replay_filter_checked; locks: none; raises: SL010 replay_invalid.
declare
  v_given constant jsonb := p_given -> p_key;
  v_number numeric;
begin
  if v_given is null then
    return p_default;
  end if;
  if jsonb_typeof(v_given) = 'number' then
    v_number := v_given::numeric;
  end if;
  if (v_number between p_min and p_max and (not p_whole or v_number = trunc(v_number))) is not true then
    perform fn_iu_replay_refuse(
      'replay_invalid',
      format('%s is %s.', p_key, v_given),
      format('It is a %s from %s to %s.', case when p_whole then 'whole number' else 'number' end, p_min, p_max),
      'Nothing was planned or changed.');
  end if;
  -- 2.0 is stored as 2: what reads it later casts it.
  return case when p_whole then trunc(v_number) else v_number end;
end
$$;
comment on function fn_iu_replay_number(jsonb, text, numeric, numeric, numeric, boolean) is
  'Layer replay. A number of a policy or a filter within its bounds, or its default.';

create function fn_iu_replay_texts(p_given jsonb, p_key text, p_may_be_empty boolean default false)
  returns text[]
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: a list of texts of a policy or a filter; null where the key is absent.
-- called by: fn_iu_replay_policy_checked, fn_iu_replay_filter_checked; locks: none; raises: SL010 replay_invalid.
declare
  v_given constant jsonb := p_given -> p_key;
begin
  if v_given is null then
    return null;
  end if;
  if jsonb_typeof(v_given) <> 'array'
    or (jsonb_array_length(v_given) = 0 and not p_may_be_empty)
    or jsonb_path_exists(v_given, '$[*] ? (@.type() != "string" || @ == "")')
  then
    perform fn_iu_replay_refuse(
      'replay_invalid',
      format('%s is %s.', p_key, left(v_given::text, 200)),
      case when p_may_be_empty then 'It is a list of texts.' else 'It is a list of at least one text.' end,
      'Nothing was planned or changed.');
  end if;
  return array(select jsonb_array_elements_text(v_given));
end
$$;
comment on function fn_iu_replay_texts(jsonb, text, boolean) is 'Layer replay. A list of texts of a policy or a filter.';

create function fn_iu_replay_keys_known(p_given jsonb, p_what text, p_known text[])
  returns void
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: refuses what is no object, or has a key that nobody reads; called by: the checks; locks: none.
-- raises: SL010 replay_invalid.
declare
  v_unknown text;
begin
  if jsonb_typeof(p_given) = 'object' then
    select string_agg(given.key, ', ' order by given.key)
    into v_unknown
    from jsonb_object_keys(p_given) as given (key)
    where given.key <> all (p_known);
  else
    v_unknown := left(coalesce(p_given::text, 'null'), 200);
  end if;
  if v_unknown is not null then
    perform fn_iu_replay_refuse(
      'replay_invalid',
      format('The %s has %s.', p_what, v_unknown),
      format('It is an object with any of %s.', array_to_string(p_known, ', ')),
      'Nothing was planned or changed.');
  end if;
end
$$;
comment on function fn_iu_replay_keys_known(jsonb, text, text[]) is 'Layer replay. Refuses an unknown key.';

create function fn_iu_replay_policy_checked(p_policy jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: a policy with every value given: careful defaults where a key is absent.
-- called by: fn_iu_replay_plan, fn_iu_replay_policy_set, fn_iu_replay_steer; locks: none; raises: SL010 replay_invalid.
declare
  v_initial numeric;
begin
  perform fn_iu_replay_keys_known(p_policy, 'policy', array[
    'canary', 'canaryFailureLimit', 'failureLimit', 'ratePerSecond', 'attempts', 'initialIntervalMs', 'backoff',
    'maximumIntervalMs', 'jitter', 'notRetryable']);
  v_initial := fn_iu_replay_number(p_policy, 'initialIntervalMs', 1000, 0, 86400000, true);
  return jsonb_build_object(
    'canary', case
      when coalesce(p_policy -> 'canary', '"each"') = '"each"' then '"each"'
      else to_jsonb(fn_iu_replay_number(p_policy, 'canary', 0, 0, 1000000, true))
    end,
    'canaryFailureLimit', fn_iu_replay_number(p_policy, 'canaryFailureLimit', 0, 0, 1000000, true),
    'failureLimit', fn_iu_replay_number(p_policy, 'failureLimit', 10, 0, 1000000000, true),
    'ratePerSecond', case
      when p_policy ? 'ratePerSecond' and p_policy -> 'ratePerSecond' = 'null' then null
      else fn_iu_replay_number(p_policy, 'ratePerSecond', 100, 0.01, 100000, false)
    end,
    'attempts', fn_iu_replay_number(p_policy, 'attempts', 1, 1, 100, true),
    'initialIntervalMs', v_initial,
    'backoff', fn_iu_replay_number(p_policy, 'backoff', 2, 1, 100, false),
    'maximumIntervalMs', fn_iu_replay_number(
      p_policy, 'maximumIntervalMs', greatest(60000, v_initial), v_initial, 604800000, true),
    'jitter', fn_iu_replay_number(p_policy, 'jitter', 0.2, 0, 1, false),
    'notRetryable', coalesce(to_jsonb(fn_iu_replay_texts(p_policy, 'notRetryable', true)), '[]')
  );
end
$$;
comment on function fn_iu_replay_policy_checked(jsonb) is 'Layer replay. A policy with every value given and within its bounds.';

create function fn_iu_replay_filter_checked(p_filter jsonb)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: a filter as it was given, once everything in it is understood; ids are letters that may be replayed.
-- called by: fn_iu_replay_plan, fn_iu_replay_policy_set; locks: none.
-- raises: SL010 replay_invalid; dead_letter_not_found, dead_letter_refused for ids.
declare
  v_states constant text[] := fn_iu_replay_texts(p_filter, 'states');
  v_ids constant text[] := fn_iu_replay_texts(p_filter, 'ids');
  v_key text;
  v_bad text;
begin
  perform fn_iu_replay_keys_known(p_filter, 'filter', array[
    'routes', 'codes', 'fingerprints', 'failedSince', 'failedUntil', 'ids', 'states', 'maxLetters', 'maxReplays',
    'includeDryRun']);
  perform
    fn_iu_replay_texts(p_filter, 'routes'),
    fn_iu_replay_texts(p_filter, 'codes'),
    fn_iu_replay_texts(p_filter, 'fingerprints'),
    fn_iu_replay_number(p_filter, 'maxLetters', null, 1, 1000000000, true),
    fn_iu_replay_number(p_filter, 'maxReplays', null, 1, 1000000, true);
  if not coalesce(v_states <@ array['open', 'parked'], true)
    or jsonb_typeof(coalesce(p_filter -> 'includeDryRun', 'false')) <> 'boolean'
  then
    perform fn_iu_replay_refuse(
      'replay_invalid',
      format('The filter asks for %s.', jsonb_build_object('states', p_filter -> 'states', 'includeDryRun', p_filter -> 'includeDryRun')),
      'Only open and parked letters are replayed; includeDryRun is true or false.',
      'Nothing was planned or changed.');
  end if;
  foreach v_key in array array['failedSince', 'failedUntil'] loop
    begin
      if jsonb_typeof(p_filter -> v_key) <> 'string' or p_filter ->> v_key !~ '^\d{4}-\d\d-\d\d' then
        raise exception using errcode = 'invalid_datetime_format';
      end if;
      perform (p_filter ->> v_key)::timestamptz;
    exception
      when others then
        perform fn_iu_replay_refuse(
          'replay_invalid', format('%s is %s.', v_key, p_filter -> v_key), 'It is a time in ISO 8601.',
          'Nothing was planned or changed.');
    end;
  end loop;
  select string_agg(asked.id, ', ')
  into v_bad
  from unnest(v_ids) as asked (id)
  where case when asked.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      not exists (
        select
        from iu_route_dead_letter
        where iu_route_dead_letter.dead_letter_id = asked.id::uuid
      )
      else true
    end;
  if v_bad is not null then
    perform fn_iu_replay_refuse(
      'dead_letter_not_found',
      format('There is no dead letter %s in database %s.', v_bad, current_database()),
      'Ids are those of dead letters of this target; another target has its own.',
      'Nothing was planned or changed.');
  end if;
  select string_agg(format('%s is %s', letter.dead_letter_id, letter.state), ', ')
  into v_bad
  from iu_route_dead_letter as letter
  where letter.dead_letter_id = any (v_ids::uuid[])
    and letter.state not in ('open', 'parked');
  if v_bad is not null then
    perform fn_iu_replay_refuse(
      'dead_letter_refused',
      format('Dead letter %s.', v_bad),
      'Only an open or parked letter is replayed.',
      'Nothing was planned or changed. Leave those ids out.');
  end if;
  return p_filter;
end
$$;
comment on function fn_iu_replay_filter_checked(jsonb) is 'Layer replay. A filter, once everything in it is understood.';

create function fn_iu_replay_route_digest(p_route iu_outbound_route)
  returns text
  language sql
  immutable
  set search_path from current
as $$
-- does: what a route does, as 16 hex digits; called by: fn_iu_replay_plan, fn_iu_replay_route_change; locks: none; raises: nothing.
select left(
  encode(
    sha256(convert_to(
      (to_jsonb(p_route) - array['updated_at', 'disabled_by', 'description'])::text,
      'UTF8')),
    'hex'),
  16)
$$;
comment on function fn_iu_replay_route_digest(iu_outbound_route) is
  'Layer replay. 16 hex digits, equal for as long as a route does the same.';

create function fn_iu_replay_mode(p_route_code text)
  returns text
  language sql
  stable
  set search_path from current
as $$
-- does: what a replay to a route would do now: live, dry_run, or what keeps it from being tried; null names no route.
-- called by: fn_iu_replay_plan, fn_iu_replay_step, fn_iu_replay_samples; locks: none; raises: nothing.
select case
  when not fn_iu_gate_open('iu_core.outbound_enabled') then 'master_gate_closed'
  when not fn_iu_gate_open('iu_core.route_worker_enabled') then 'worker_gate_closed'
  when p_route_code is null then 'live'
  when route.route_code is null then 'route_removed'
  when not route.enabled then 'route_disabled'
  when route.dry_run then 'dry_run'
  when not fn_iu_gate_open('iu_core.delivery_enabled') then 'delivery_gate_closed'
  when not fn_iu_dot_list_names('iu_core.delivery_live_routes', p_route_code) then 'not_on_the_live_list'
  else 'live'
end
from (values (p_route_code)) as asked (route_code)
left join iu_outbound_route as route on route.route_code = asked.route_code
$$;
comment on function fn_iu_replay_mode(text) is
  'Layer replay. What a replay to a route would do now: live, dry_run, or what keeps it from being tried.';

create function fn_iu_replay_plan_json(p_plan_hash text)
  returns jsonb
  language sql
  stable
  set search_path from current
as $$
-- does: a plan as people and programs read it, with what trying letters out has shown.
-- called by: fn_iu_replay_plan, fn_iu_replay_read; locks: none; raises: nothing.
select jsonb_build_object(
  'planHash', plan.plan_hash,
  'letters', plan.letters,
  'canaryLetters', plan.canary_letters,
  'groups', (
    select jsonb_agg(
      grouped.value || coalesce(
        (
          select jsonb_object_agg(told.key, told.value)
          from jsonb_each(tried.value) as told
          where told.key in ('tried', 'fixed', 'stillFailing', 'unknown', 'because')
        ),
        '{}')
      order by grouped.ordinality)
    from jsonb_array_elements(plan.groups) with ordinality as grouped
    left join lateral (
      select tried.value
      from jsonb_array_elements(progress.tried_out) as tried
      where tried.value -> 'route' = grouped.value -> 'route'
        and tried.value -> 'fingerprint' = grouped.value -> 'fingerprint'
      limit 1
    ) as tried on true
  ),
  'routes', plan.routes,
  'excluded', plan.excluded,
  'policy', plan.policy,
  'filter', plan.filter,
  'policyCode', plan.policy_code,
  'needsApproval', plan.needs_approval,
  'approvedBy', progress.approved_by,
  'actor', plan.actor,
  'reason', plan.reason,
  'plannedAt', plan.created_at,
  'expiresAt', plan.expires_at
)
from iu_replay_plan as plan
join iu_replay_progress as progress on progress.plan_hash = plan.plan_hash
where plan.plan_hash = p_plan_hash
$$;
comment on function fn_iu_replay_plan_json(text) is 'Layer replay. A plan as people and programs read it.';

create function fn_iu_replay_freeze(
  p_filter jsonb,
  p_policy jsonb,
  p_min_age interval,
  p_policy_code text,
  p_actor text,
  p_reason text
)
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
  set jit = off
as $$
-- does: freezes a plan: picks the letters, leaves alone and counts what is not to be replayed, puts the canary first and the
--       rest in the order of routes and failures, notes the routes as they are, and stores it under its hash. An ordered
--       route's letters of one subject wait for each other. Stores nothing where no letter is to be replayed.
-- called by: fn_iu_replay_plan, fn_iu_replay_plan_by_policy, with filter and policy checked.
-- locks: the new rows.
-- raises: SL010 replay_invalid for more letters than iu_core.replay_max_letters, or without actor or reason.
declare
  v_now constant timestamptz := clock_timestamp();
  v_max constant integer := fn_iu_config_positive_int('iu_core.replay_max_letters');
  v_ids constant uuid[] := array(select jsonb_array_elements_text(p_filter -> 'ids')::uuid);
  v_states constant text[] := case
    when p_filter ? 'states' then array(select jsonb_array_elements_text(p_filter -> 'states'))
    when p_filter ? 'ids' then array['open', 'parked']
    else array['open']
  end;
  v_made record;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    perform fn_iu_replay_refuse(
      'replay_invalid', 'A plan was asked for without actor or reason.', 'It names who makes it and why.',
      'Nothing was planned or changed.');
  end if;
  with
    candidate as materialized (
      select
        letter.dead_letter_id,
        letter.event_id,
        letter.route_code,
        letter.worker_code,
        letter.fingerprint,
        letter.failure_code,
        left(letter.failure_detail ->> 'message', 500) as message,
        letter.route ->> 'target_ref' as former_target_ref,
        -- A recall has an attempt, too, and the letter does not know of it.
        greatest(
          (letter.last_attempt ->> 'attempt_no')::integer,
          (
            select max(iu_route_attempt.attempt_no)
            from iu_route_attempt
            where iu_route_attempt.idempotency_key = letter.idempotency_key
          )
        ) as attempt_no,
        case when route.ordered_by_subject and letter.event ->> 'subject_seq' is not null then
          (letter.event ->> 'event_domain') || ' ' || (letter.event ->> 'event_subject') end as subject,
        case when route.ordered_by_subject then (letter.event ->> 'subject_seq')::bigint end as subject_seq,
        case
          when queued.event_id is not null then 'queued'
          when letter.route_code is not null and exists (
            select
            from iu_route_attempt
            where iu_route_attempt.idempotency_key >= letter.event_id::text || ':' || letter.route_code || ':'
              and iu_route_attempt.idempotency_key < letter.event_id::text || ':' || letter.route_code || ';'
              and iu_route_attempt.status = 'sent'
          ) then 'already_delivered'
          when letter.route_code is null then null
          when route.route_code is null then 'route_removed'
          when not route.enabled then 'route_disabled'
          when route.event_domain <> letter.event ->> 'event_domain' or route.event_type <> letter.event ->> 'event_type'
            or (route.event_filter is not null and not fn_iu_route_may_take(route.event_filter, letter.event -> 'payload'))
            then 'not_taken'
          when route.dry_run and coalesce((p_filter ->> 'includeDryRun')::boolean, false) is false then 'dry_run'
        end as excluded_because
      from iu_route_dead_letter as letter
      left join iu_outbound_route as route on route.route_code = letter.route_code
      left join iu_route_delivery as queued
        on queued.event_id = letter.event_id
        and queued.route_code = letter.route_code
      where letter.state = any (v_states)
        and (not p_filter ? 'ids' or letter.dead_letter_id = any (v_ids))
        and (not p_filter ? 'routes' or p_filter -> 'routes' ? letter.route_code)
        and (not p_filter ? 'codes' or p_filter -> 'codes' ? letter.failure_code)
        and (not p_filter ? 'fingerprints' or p_filter -> 'fingerprints' ? letter.fingerprint)
        and letter.last_failed_at >= coalesce((p_filter ->> 'failedSince')::timestamptz, '-infinity')
        and letter.last_failed_at <= coalesce((p_filter ->> 'failedUntil')::timestamptz, 'infinity')
        and letter.last_failed_at <= v_now - p_min_age
        and letter.replay_count < coalesce((p_filter ->> 'maxReplays')::numeric::integer, 2147483647)
      order by letter.created_at, letter.dead_letter_id
      limit v_max + 1
    ),
    excluded (list) as (
      select jsonb_agg(
        jsonb_build_object('because', counted.because, 'route', counted.route_code, 'letters', counted.letters)
        order by counted.because, counted.route_code)
      from (
        select
          candidate.excluded_because as because,
          candidate.route_code,
          count(*) as letters
        from candidate
        where candidate.excluded_because is not null
        group by candidate.excluded_because, candidate.route_code
      ) as counted
    ),
    kept as (
      select candidate.*
      from candidate
      where candidate.excluded_because is null
      order by candidate.event_id, candidate.dead_letter_id
      limit coalesce((p_filter ->> 'maxLetters')::numeric::integer, v_max + 1)
    ),
    in_subject as (
      select
        kept.*,
        kept.subject is not null and 1 < row_number() over (
          partition by kept.route_code, kept.worker_code, kept.subject
          order by kept.subject_seq) as is_behind
      from kept
    ),
    in_group as (
      select
        in_subject.*,
        row_number() over (
          partition by in_subject.is_behind, in_subject.route_code, in_subject.fingerprint
          order by in_subject.event_id, in_subject.worker_code) as n
      from in_subject
    ),
    chosen as (
      select
        in_group.*,
        not in_group.is_behind and case
          when p_policy -> 'canary' = '"each"' then in_group.n = 1
          else row_number() over (
            order by in_group.is_behind, in_group.n, in_group.route_code, in_group.fingerprint
          ) <= (p_policy ->> 'canary')::integer
        end as is_canary
      from in_group
    ),
    placed as materialized (
      select
        row_number() over (
          order by chosen.is_canary desc, chosen.route_code nulls first, chosen.worker_code, chosen.fingerprint, chosen.event_id
        )::integer as place,
        chosen.*
      from chosen
    ),
    grouped (list) as (
      select jsonb_agg(
        jsonb_build_object(
          'route', counted.route_code, 'fingerprint', counted.fingerprint, 'failureCode', counted.failure_code,
          'message', counted.message, 'letters', counted.letters,
          'tried', 0, 'fixed', 0, 'stillFailing', 0, 'unknown', 0, 'because', null)
        order by counted.letters desc, counted.route_code, counted.fingerprint)
      from (
        select
          placed.route_code,
          placed.fingerprint,
          max(placed.failure_code) as failure_code,
          max(placed.message) as message,
          count(*) as letters
        from placed
        group by placed.route_code, placed.fingerprint
      ) as counted
    ),
    routed (list) as (
      select jsonb_agg(
        jsonb_build_object(
          'route', route.route_code,
          'targetKind', route.target_kind,
          'targetRef', route.target_ref,
          'formerTargetRefs', coalesce(meant.target_refs, '[]') - route.target_ref,
          'mode', fn_iu_replay_mode(route.route_code),
          'breaker', case when fn_iu_delivery_is_queued(route.target_kind) then coalesce(breaker.state, 'closed') end,
          'isOrdered', route.ordered_by_subject,
          'digest', fn_iu_replay_route_digest(route))
        order by route.route_code)
      from (
        select
          placed.route_code,
          jsonb_agg(distinct placed.former_target_ref) filter (where placed.former_target_ref is not null) as target_refs
        from placed
        group by placed.route_code
      ) as meant
      join iu_outbound_route as route on route.route_code = meant.route_code
      left join iu_route_breaker as breaker on breaker.route_code = route.route_code
    ),
    summed as (
      select
        count(*)::integer as letters,
        (count(*) filter (where placed.is_canary))::integer as canary_letters,
        string_agg(placed.dead_letter_id || ' ' || placed.attempt_no, E'\n' order by placed.place) as listed
      from placed
    ),
    stored as (
      insert into iu_replay_plan (
        plan_hash, filter, policy, letters, canary_letters, groups, routes, excluded, needs_approval, policy_code, actor,
        reason, expires_at, created_at)
      select
        encode(
          sha256(convert_to(
            concat_ws(E'\n', fn_iu_system_identifier(), current_database(), current_schema(), v_now, p_filter, p_policy,
              routed.list, summed.listed),
            'UTF8')),
          'hex'),
        p_filter, p_policy, summed.letters, summed.canary_letters, grouped.list, coalesce(routed.list, '[]'),
        coalesce(excluded.list, '[]'), summed.letters > fn_iu_config_positive_int('iu_core.replay_approval_above'),
        p_policy_code, p_actor, p_reason,
        v_now + make_interval(hours => fn_iu_config_positive_int('iu_core.replay_plan_hours')), v_now
      from summed
      cross join grouped
      cross join routed
      cross join excluded
      where summed.letters between 1 and v_max
      returning iu_replay_plan.*
    ),
    begun as (
      insert into iu_replay_progress (plan_hash, canary, rate_per_second, uses_queue)
      select
        stored.plan_hash,
        case when stored.canary_letters = 0 then 'none' else 'running' end,
        (p_policy ->> 'ratePerSecond')::numeric,
        exists (
          select
          from jsonb_array_elements(stored.routes) as planned_route
          where planned_route.value ->> 'breaker' is not null
        )
      from stored
    ),
    listed as (
      insert into iu_replay_letter (
        plan_hash, place, dead_letter_id, event_id, route_code, worker_code, fingerprint, subject, subject_seq, attempt_no,
        state)
      select
        stored.plan_hash, placed.place, placed.dead_letter_id, placed.event_id, placed.route_code, placed.worker_code,
        placed.fingerprint, placed.subject, placed.subject_seq, placed.attempt_no,
        case when placed.is_behind then 'behind' else 'waiting' end
      from placed
      cross join stored
      order by placed.place
    ),
    told as (
      insert into iu_replay_story (plan_hash, what, actor, reason, detail)
      select
        stored.plan_hash, 'planned', p_actor, p_reason,
        jsonb_build_object('letters', stored.letters, 'canaryLetters', stored.canary_letters)
      from stored
    )
  select
    stored.plan_hash,
    summed.letters,
    (select count(*) from candidate) as candidates,
    coalesce(excluded.list, '[]') as excluded
  into v_made
  from summed
  cross join excluded
  left join stored on true;
  -- More than it has looked at: some of the rest would be missed silently.
  if v_made.letters > v_max or (v_made.candidates > v_max and not p_filter ? 'maxLetters') then
    perform fn_iu_replay_refuse(
      'replay_invalid',
      format('The filter matches more than %s dead letters.', v_max),
      'A plan has at most iu_core.replay_max_letters.',
      'Nothing was planned or changed. Narrow the filter, or give maxLetters.');
  end if;
  return coalesce(
    fn_iu_replay_plan_json(v_made.plan_hash),
    jsonb_build_object(
      'planHash', null, 'letters', 0, 'canaryLetters', 0, 'groups', '[]'::jsonb, 'routes', '[]'::jsonb,
      'excluded', v_made.excluded, 'policy', p_policy, 'filter', p_filter, 'policyCode', p_policy_code,
      'needsApproval', false, 'approvedBy', null, 'actor', p_actor, 'reason', p_reason,
      'plannedAt', v_now, 'expiresAt', v_now));
end
$$;
comment on function fn_iu_replay_freeze(jsonb, jsonb, interval, text, text, text) is
  'Layer replay. Freezes the letters that a filter matches, with policy and routes, as a plan.';

create function fn_iu_replay_plan(p_filter jsonb, p_policy jsonb, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: makes a plan of a replay, or answers that there is nothing to replay (planHash null); nothing is tried.
-- called by: sluice dead-letter plan, schedules.
-- locks: the new rows.
-- raises: SL010 replay_invalid, dead_letter_not_found, dead_letter_refused.
begin
  return fn_iu_replay_freeze(
    fn_iu_replay_filter_checked(coalesce(p_filter, '{}')), fn_iu_replay_policy_checked(coalesce(p_policy, '{}')), '0', null,
    p_actor, p_reason);
end
$$;
comment on function fn_iu_replay_plan(jsonb, jsonb, text, text) is
  'Layer replay. Makes a plan: which letters, in which order, by which policy; returns it with its hash.';

create function fn_iu_replay_samples(p_plan_hash text, p_each integer)
  returns table (
    place integer,
    dead_letter_id uuid,
    route_code text,
    fingerprint text,
    target_kind text,
    target_ref text,
    config jsonb,
    mode text,
    request jsonb,
    payload text
  )
  language sql
  stable
  security definer
  set search_path from current
as $$
-- does: letters of a plan to try out, up to so many of each route and fingerprint, each with the request that its target
--       would be given; nothing of a letter that belongs to no route.
-- called by: sluice dead-letter plan, schedules; locks: none; raises: nothing.
with
  numbered as (
    select
      iu_replay_letter.*,
      row_number() over (
        partition by iu_replay_letter.route_code, iu_replay_letter.fingerprint
        order by iu_replay_letter.place) as n
    from iu_replay_letter
    where iu_replay_letter.plan_hash = p_plan_hash
  )
select
  numbered.place,
  numbered.dead_letter_id,
  numbered.route_code,
  numbered.fingerprint,
  route.target_kind,
  route.target_ref,
  route.config,
  fn_iu_replay_mode(numbered.route_code),
  case when route.route_code is not null then fn_iu_delivery_request(
    route.route_code, route.target_kind, route.target_ref, event.id, event.event_domain, event.event_type,
    event.event_subject, event.subject_seq, event.created_at) end,
  event.payload::text
from numbered
join iu_route_dead_letter as letter on letter.dead_letter_id = numbered.dead_letter_id
cross join lateral jsonb_populate_record(null::event_outbox, letter.event) as event
left join iu_outbound_route as route on route.route_code = numbered.route_code
where numbered.n <= p_each
order by numbered.place
$$;
comment on function fn_iu_replay_samples(text, integer) is
  'Layer replay. Letters of a plan to try out, up to so many of each route and fingerprint.';

create function fn_iu_replay_failure(p_dead_letter_id uuid)
  returns jsonb
  language sql
  stable
  security definer
  set search_path from current
as $$
-- does: the newest failure of a letter: code, sqlstate, message; called by: what tries letters out; locks: none; raises: nothing.
select jsonb_build_object(
  'code', iu_route_dead_letter.failure_code,
  'sqlstate', iu_route_dead_letter.failure_detail ->> 'sqlstate',
  'message', iu_route_dead_letter.failure_detail ->> 'message')
from iu_route_dead_letter
where iu_route_dead_letter.dead_letter_id = p_dead_letter_id
$$;
comment on function fn_iu_replay_failure(uuid) is 'Layer replay. The newest failure of a letter.';

create function fn_iu_replay_tried(p_plan_hash text, p_tried jsonb)
  returns void
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: notes what trying letters of a plan out has shown, by route and fingerprint; its hash does not depend on it.
-- called by: sluice dead-letter plan, schedules; locks: the plan's progress; raises: SL010 replay_not_found, replay_invalid.
begin
  if (jsonb_typeof(p_tried) = 'array') is not true then
    perform fn_iu_replay_refuse(
      'replay_invalid', 'What a try-out has shown was given as no list.', 'It is a list of objects.', 'Nothing was changed.');
  end if;
  update iu_replay_progress
  set
    tried_out = p_tried,
    updated_at = clock_timestamp()
  where iu_replay_progress.plan_hash = p_plan_hash;
  if not found then
    perform fn_iu_replay_refuse(
      'replay_not_found', format('There is no plan %s.', left(p_plan_hash, 64)), 'The hash of a plan of this target is needed.',
      'Nothing was changed.');
  end if;
  insert into iu_replay_story (plan_hash, what, actor, reason, detail)
  select p_plan_hash, 'tried_out', iu_replay_plan.actor, iu_replay_plan.reason, jsonb_build_object('groups', p_tried)
  from iu_replay_plan
  where iu_replay_plan.plan_hash = p_plan_hash;
end
$$;
comment on function fn_iu_replay_tried(text, jsonb) is 'Layer replay. Notes what trying letters of a plan out has shown.';

alter function fn_iu_replay_refuse(text, text, text, text, jsonb) owner to iu_core_owner;
alter function fn_iu_replay_number(jsonb, text, numeric, numeric, numeric, boolean) owner to iu_core_owner;
alter function fn_iu_replay_texts(jsonb, text, boolean) owner to iu_core_owner;
alter function fn_iu_replay_keys_known(jsonb, text, text[]) owner to iu_core_owner;
alter function fn_iu_replay_policy_checked(jsonb) owner to iu_core_owner;
alter function fn_iu_replay_filter_checked(jsonb) owner to iu_core_owner;
alter function fn_iu_replay_route_digest(iu_outbound_route) owner to iu_core_owner;
alter function fn_iu_replay_mode(text) owner to iu_core_owner;
alter function fn_iu_replay_plan_json(text) owner to iu_core_owner;
alter function fn_iu_replay_freeze(jsonb, jsonb, interval, text, text, text) owner to iu_core_owner;
alter function fn_iu_replay_plan(jsonb, jsonb, text, text) owner to iu_core_owner;
alter function fn_iu_replay_samples(text, integer) owner to iu_core_owner;
alter function fn_iu_replay_failure(uuid) owner to iu_core_owner;
alter function fn_iu_replay_tried(text, jsonb) owner to iu_core_owner;

revoke all on function fn_iu_replay_refuse(text, text, text, text, jsonb) from public;
revoke all on function fn_iu_replay_number(jsonb, text, numeric, numeric, numeric, boolean) from public;
revoke all on function fn_iu_replay_texts(jsonb, text, boolean) from public;
revoke all on function fn_iu_replay_keys_known(jsonb, text, text[]) from public;
revoke all on function fn_iu_replay_policy_checked(jsonb) from public;
revoke all on function fn_iu_replay_filter_checked(jsonb) from public;
revoke all on function fn_iu_replay_route_digest(iu_outbound_route) from public;
revoke all on function fn_iu_replay_mode(text) from public;
revoke all on function fn_iu_replay_plan_json(text) from public;
revoke all on function fn_iu_replay_freeze(jsonb, jsonb, interval, text, text, text) from public;
revoke all on function fn_iu_replay_plan(jsonb, jsonb, text, text) from public;
revoke all on function fn_iu_replay_samples(text, integer) from public;
revoke all on function fn_iu_replay_failure(uuid) from public;
revoke all on function fn_iu_replay_tried(text, jsonb) from public;
grant execute on function fn_iu_replay_plan(jsonb, jsonb, text, text) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_samples(text, integer) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_failure(uuid) to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_replay_tried(text, jsonb) to iu_core_operator, iu_core_worker;
