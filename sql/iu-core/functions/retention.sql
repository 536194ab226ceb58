-- does:      installs the leaving of what has long been decided.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_retention_stays_because(p_upper_at timestamptz)
  returns text
  language plpgsql
  stable
  set search_path from current
as $$
-- does: why a partition has to stay for its own sake, or null: too young, a cursor has not passed it, events of it are held,
--       queued or blocked, or dead letters of it still hold back the events behind them. That older ones leave first is seen to
--       by plan and drop.
-- called by: fn_iu_retention_plan, fn_iu_retention_drop; locks: none; raises: config_file_error.
declare
  v_keep constant interval := make_interval(days => fn_iu_config_positive_int('iu_core.retention_keep_days'));
  v_upper constant uuid := fn_iu_uuid_v7_at(p_upper_at);
  v_lower constant uuid := coalesce(
    (
      select fn_iu_uuid_v7_at(max(iu_outbox_partition.upper_at))
      from iu_outbox_partition
      where iu_outbox_partition.upper_at < p_upper_at
    ),
    '00000000-0000-0000-0000-000000000000');
  v_partition constant text := (
    select iu_outbox_partition.event_partition
    from iu_outbox_partition
    where iu_outbox_partition.upper_at = p_upper_at
  );
  v_cursor iu_route_worker_cursor;
  v_has_passed boolean;
begin
  if p_upper_at > clock_timestamp() - v_keep then
    return format('kept for %s days', extract(day from v_keep));
  end if;
  for v_cursor in
    select iu_route_worker_cursor.*
    from iu_route_worker_cursor
    order by iu_route_worker_cursor.cursor_code
  loop
    execute format(
      'select not exists (select from %I as e where (e.epoch, e.xact_id, e.created_at, e.id) > ($1, $2, $3, $4))', v_partition)
    into v_has_passed
    using
      coalesce(v_cursor.cursor_epoch, 0), coalesce(v_cursor.cursor_xact_id, '0'),
      coalesce(v_cursor.cursor_created_at, '-infinity'),
      coalesce(v_cursor.cursor_event_id, '00000000-0000-0000-0000-000000000000');
    if not v_has_passed then
      return format('cursor %s has not passed it', v_cursor.cursor_code);
    end if;
  end loop;
  if exists (
    select
    from iu_route_held
    where iu_route_held.event_id >= v_lower
      and iu_route_held.event_id < v_upper
  ) then
    return 'events of it are held back for the order of their subject';
  end if;
  if exists (
    select
    from iu_route_delivery
    where iu_route_delivery.event_id >= v_lower
      and iu_route_delivery.event_id < v_upper
  ) then
    return 'deliveries of it are queued';
  end if;
  if exists (
    select
    from iu_route_attempt
    where iu_route_attempt.decision = 'blocked'
      and iu_route_attempt.idempotency_key >= v_lower::text
      and iu_route_attempt.idempotency_key < v_upper::text
      and not exists (
        select
        from iu_route_attempt as later
        where later.idempotency_key = iu_route_attempt.idempotency_key
          and later.attempt_no > iu_route_attempt.attempt_no
      )
  ) then
    return 'events of it are blocked; release them first';
  end if;
  -- What an ordered route holds back is found by the event before it, which leaves with its partition.
  if exists (
    select
    from iu_route_dead_letter
    join iu_outbound_route on iu_outbound_route.route_code = iu_route_dead_letter.route_code
    where iu_route_dead_letter.event_id >= v_lower
      and iu_route_dead_letter.event_id < v_upper
      and iu_route_dead_letter.state in ('open', 'parked')
      and iu_route_dead_letter.event ->> 'subject_seq' is not null
      and iu_outbound_route.ordered_by_subject
      and iu_outbound_route.after_dead_letter = 'block'
  ) then
    return 'dead letters of it hold their subjects back; replay or discard them first';
  end if;
  return null;
end
$$;
comment on function fn_iu_retention_stays_because(timestamptz) is
  'Layer worker. Why a partition has to stay; null where it may leave.';

create function fn_iu_retention_plan()
  returns jsonb
  language plpgsql
  stable
  security definer
  set search_path from current
as $$
-- does: what retention would do now, oldest partition first: which leave with how many rows, which stay and why.
-- called by: the retention workflow, operators; locks: none; raises: config_file_error.
declare
  v_keep_days constant integer := fn_iu_config_positive_int('iu_core.retention_keep_days');
  v_cutoff constant timestamptz := clock_timestamp() - make_interval(days => v_keep_days);
  v_partition iu_outbox_partition;
  v_because text;
  v_older_stays boolean := false;
  v_events bigint;
  v_attempts bigint;
  v_partitions jsonb := '[]';
begin
  for v_partition in
    select iu_outbox_partition.*
    from iu_outbox_partition
    where iu_outbox_partition.retired_at is null
    order by iu_outbox_partition.upper_at
  loop
    if v_older_stays and v_partition.upper_at <= v_cutoff then
      v_because := 'an older partition stays';
    else
      v_because := fn_iu_retention_stays_because(v_partition.upper_at);
      v_older_stays := v_older_stays or v_because is not null;
    end if;
    execute format('select (select count(*) from %I), (select count(*) from %I)',
      v_partition.event_partition, v_partition.attempt_partition)
    into v_events, v_attempts;
    v_partitions := v_partitions || jsonb_build_object(
      'partition', v_partition.event_partition,
      'upper_at', v_partition.upper_at,
      'events', v_events,
      'attempts', v_attempts,
      'leaves', v_because is null,
      'stays_because', v_because
    );
  end loop;
  return jsonb_build_object(
    'enabled', fn_iu_gate_open('iu_core.retention_enabled'),
    'keep_days', v_keep_days,
    'cutoff', v_cutoff,
    'partitions', v_partitions,
    'default_rows', (select count(*) from event_outbox_default)
  );
end
$$;
comment on function fn_iu_retention_plan() is
  'Layer worker. What retention would do now: partitions that leave, partitions that stay and why. Changes nothing.';

create function fn_iu_retention_drop(p_partition text, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: lets one partition of events leave together with its attempts, and keeps what it held in iu_outbox_partition. Dead
--       letters stay: they carry their event.
-- called by: the retention workflow, the oldest partition first, one transaction for each.
-- locks: SHARE on the partition and its attempts, then ACCESS EXCLUSIVE on outbox and audit for the moment of leaving,
--        under lock_timeout (500 ms where none is set).
-- raises: SL008 while the gate iu_core.retention_enabled is closed, for a name that is no partition, or one that has to
--         stay; invalid_parameter_value without actor or reason; lock_not_available.
declare
  v_partition iu_outbox_partition;
  v_because text;
  v_events bigint;
  v_attempts bigint;
  v_first_decisions jsonb;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'retention names who asks for it and why',
      hint = 'Give actor and reason. Nothing was changed.';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('iu_core retention in ' || current_schema(), 0));
  select iu_outbox_partition.*
  into v_partition
  from iu_outbox_partition
  where iu_outbox_partition.event_partition = p_partition
    and iu_outbox_partition.retired_at is null;
  if not found then
    v_because := 'it is no partition that is there';
  elsif fn_iu_gate_open('iu_core.retention_enabled') is not true then
    v_because := 'the gate iu_core.retention_enabled is closed';
  elsif exists (
    select
    from iu_outbox_partition
    where iu_outbox_partition.upper_at < v_partition.upper_at
      and iu_outbox_partition.retired_at is null
  ) then
    v_because := 'an older partition stays';
  else
    -- Whoever still writes into the partition is waited for, and nobody begins to: what is judged and counted is what leaves.
    if current_setting('lock_timeout') in ('0', '0ms') then
      perform set_config('lock_timeout', '500ms', true);
    end if;
    execute format('lock table %I, %I in share mode', v_partition.event_partition, v_partition.attempt_partition);
    v_because := fn_iu_retention_stays_because(v_partition.upper_at);
  end if;
  if v_because is not null then
    raise exception using
      errcode = 'SL008',
      message = format('partition %s may not leave: %s', coalesce(p_partition, 'null'), v_because),
      hint = 'See fn_iu_retention_plan. Nothing was changed.';
  end if;

  execute format('select count(*) from %I', v_partition.event_partition) into v_events;
  execute format(
    $counted$
      select coalesce(sum(counted.attempts), 0), coalesce(jsonb_agg(to_jsonb(counted) - 'attempts'), '[]')
      from (
        select
          a.worker_code,
          a.route_code,
          a.decision,
          count(*) filter (where a.attempt_no = 1) as first_attempts,
          count(*) as attempts
        from %I as a
        group by a.worker_code, a.route_code, a.decision
      ) as counted
    $counted$,
    v_partition.attempt_partition)
  into v_attempts, v_first_decisions;

  lock table event_outbox, iu_route_attempt in access exclusive mode;
  execute format('drop table %I', v_partition.event_partition);
  execute format('drop table %I', v_partition.attempt_partition);
  update iu_outbox_partition
  set
    retired_at = clock_timestamp(),
    events = v_events,
    attempts = v_attempts,
    first_decisions = v_first_decisions,
    retired_by = p_actor,
    retired_because = p_reason
  where iu_outbox_partition.upper_at = v_partition.upper_at;
  return jsonb_build_object('partition', p_partition, 'events', v_events, 'attempts', v_attempts);
end
$$;
comment on function fn_iu_retention_drop(text, text, text) is
  'Layer worker. Lets one partition of decided events leave with its attempts; refuses unless the plan lets it.';

alter function fn_iu_retention_stays_because(timestamptz) owner to iu_core_owner;
alter function fn_iu_retention_plan() owner to iu_core_owner;
alter function fn_iu_retention_drop(text, text, text) owner to iu_core_owner;

revoke all on function fn_iu_retention_stays_because(timestamptz) from public;
revoke all on function fn_iu_retention_plan() from public;
revoke all on function fn_iu_retention_drop(text, text, text) from public;
grant execute on function fn_iu_retention_plan() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_retention_drop(text, text, text) to iu_core_operator;
