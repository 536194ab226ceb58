-- does:      installs the partitions of outbox and audit along time.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_uuid_v7_at(p_moment timestamptz)
  returns uuid
  language sql
  immutable
  parallel safe
  set search_path from current
as $$
-- does: the lowest uuid v7 of a moment, for bounds of partitions; called by: retention; locks: none; raises: nothing.
select encode(
  substring(int8send((extract(epoch from p_moment) * 1000)::bigint) from 3) || '\x70008000000000000000'::bytea, 'hex')::uuid
$$;
comment on function fn_iu_uuid_v7_at(timestamptz) is 'Layer worker. The lowest uuid v7 of a moment.';

create function fn_iu_retention_boundary(p_moment timestamptz)
  returns timestamptz
  language sql
  stable
  set search_path from current
as $$
-- does: the first boundary of partitions after a moment: whole multiples of the configured hours, in UTC.
-- called by: fn_iu_retention_prepare; locks: none; raises: config_file_error.
select to_timestamp(
  (floor(extract(epoch from p_moment) / (hours.width * 3600)) + 1) * hours.width * 3600)
from (select fn_iu_config_positive_int('iu_core.retention_partition_hours') as width) as hours
$$;
comment on function fn_iu_retention_boundary(timestamptz) is 'Layer worker. The first boundary of partitions after a moment.';

create function fn_iu_retention_attach(p_upper_at timestamptz, p_lower_at timestamptz)
  returns text
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: makes the partitions of outbox and audit for one stretch of time, with their own guards against TRUNCATE.
-- called by: fn_iu_retention_prepare.
-- locks: SHARE UPDATE EXCLUSIVE on outbox and audit, ACCESS EXCLUSIVE on their default partitions, which are empty.
-- raises: lock_not_available after lock_timeout; check_violation where a default partition holds rows of that time.
declare
  v_suffix constant text := '_to_' || to_char(p_upper_at at time zone 'UTC', 'YYYYMMDD_HH24');
  v_table text;
begin
  foreach v_table in array array['event_outbox', 'iu_route_attempt'] loop
    execute format('create table %I (like %I including all)', v_table || v_suffix, v_table);
    execute format('comment on table %I is %L', v_table || v_suffix,
      format('Layer outbox. Rows of %s with event ids from before %s.', v_table, p_upper_at));
    execute format('revoke all on table %I from public', v_table || v_suffix);
    execute format('create trigger %I before truncate on %I for each statement execute function fn_iu_append_only()',
      case v_table when 'event_outbox' then 'trg_iu_outbox_no_truncate' else 'trg_iu_attempt_no_truncate' end, v_table || v_suffix);
    execute format('alter table %I enable always trigger %I',
      v_table || v_suffix, case v_table when 'event_outbox' then 'trg_iu_outbox_no_truncate' else 'trg_iu_attempt_no_truncate' end);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', v_table, v_table || v_suffix,
      fn_iu_uuid_v7_at(p_lower_at)::text, fn_iu_uuid_v7_at(p_upper_at)::text);
  end loop;
  insert into iu_outbox_partition (upper_at, event_partition, attempt_partition)
  values (p_upper_at, 'event_outbox' || v_suffix, 'iu_route_attempt' || v_suffix);
  return 'event_outbox' || v_suffix;
end
$$;
comment on function fn_iu_retention_attach(timestamptz, timestamptz) is
  'Layer worker. Makes the partitions of outbox and audit for one stretch of time.';

create function fn_iu_retention_adopt(p_upper_at timestamptz)
  returns text
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: turns the default partitions, with the rows they hold, into partitions of the time before a boundary, and makes new,
--       empty default ones. Once in the life of an installation, and after the preparing had stopped for long.
-- called by: fn_iu_retention_prepare, where a default partition holds rows and no other partition lies before the boundary.
-- locks: ACCESS EXCLUSIVE on outbox and audit while the rows are checked against the bound (about 0.3 s a million).
-- raises: lock_not_available after lock_timeout; check_violation where a row lies behind the boundary.
declare
  v_suffix constant text := '_to_' || to_char(p_upper_at at time zone 'UTC', 'YYYYMMDD_HH24');
  v_lower_at constant timestamptz := (select max(iu_outbox_partition.upper_at) from iu_outbox_partition);
  v_table text;
  v_trigger text;
begin
  foreach v_table in array array['event_outbox', 'iu_route_attempt'] loop
    v_trigger := case v_table when 'event_outbox' then 'trg_iu_outbox_no_truncate' else 'trg_iu_attempt_no_truncate' end;
    execute format('alter table %I detach partition %I', v_table, v_table || '_default');
    execute format('alter table %I rename to %I', v_table || '_default', v_table || v_suffix);
    execute format('alter table %I attach partition %I for values from (%s) to (%L)', v_table, v_table || v_suffix,
      case when v_lower_at is null then 'minvalue' else quote_literal(fn_iu_uuid_v7_at(v_lower_at)::text) end,
      fn_iu_uuid_v7_at(p_upper_at)::text);
    execute format('comment on table %I is %L', v_table || v_suffix,
      format('Layer outbox. Rows of %s with event ids from before %s.', v_table, p_upper_at));
    execute format('create table %I partition of %I default', v_table || '_default', v_table);
    execute format('comment on table %I is %L', v_table || '_default',
      format('Layer outbox. Rows of %s whose event lies in no other partition; nothing is ever refused.', v_table));
    execute format('revoke all on table %I from public', v_table || '_default');
    execute format('create trigger %I before truncate on %I for each statement execute function fn_iu_append_only()',
      v_trigger, v_table || '_default');
    execute format('alter table %I enable always trigger %I', v_table || '_default', v_trigger);
  end loop;
  insert into iu_outbox_partition (upper_at, event_partition, attempt_partition)
  values (p_upper_at, 'event_outbox' || v_suffix, 'iu_route_attempt' || v_suffix);
  return 'event_outbox' || v_suffix;
end
$$;
comment on function fn_iu_retention_adopt(timestamptz) is
  'Layer worker. Turns filled default partitions into partitions of the time before a boundary, and makes new ones.';

create function fn_iu_retention_prepare(p_adopts_large boolean default false)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: makes the partitions of the coming time, so that events land in them; nothing where they are there already. Whoever
--       never calls it loses nothing: the default partitions take every row.
--       Default partitions that have grown large are turned into partitions only where that is asked for: it holds up
--       writers while their rows are checked, about 0.3 s a million.
-- called by: the retention workflow; operators.
-- locks: an advisory lock against itself; where something is missing, ACCESS EXCLUSIVE on outbox and audit, under lock_timeout.
-- raises: lock_not_available; config_file_error where a limit is not configured.
declare
  v_ahead constant integer := fn_iu_config_positive_int('iu_core.retention_partitions_ahead');
  v_hours constant interval := make_interval(hours => fn_iu_config_positive_int('iu_core.retention_partition_hours'));
  v_created text[] := '{}';
  v_adopted text;
  v_large constant bigint := 64 * 1024 * 1024;
  v_upper_at timestamptz := fn_iu_retention_boundary(clock_timestamp());
  v_last_at timestamptz;
begin
  perform pg_advisory_xact_lock(hashtextextended('iu_core retention in ' || current_schema(), 0));
  select max(iu_outbox_partition.upper_at)
  into v_last_at
  from iu_outbox_partition;
  if v_last_at >= v_upper_at + v_ahead * v_hours then
    return jsonb_build_object('created', '[]'::jsonb, 'adopted', null, 'because', null);
  end if;
  if (v_last_at >= v_upper_at) is not true
    and pg_relation_size('event_outbox_default') + pg_relation_size('iu_route_attempt_default') > v_large
    and not p_adopts_large
  then
    return jsonb_build_object('created', '[]'::jsonb, 'adopted', null, 'because',
      'the default partitions are large; fn_iu_retention_prepare(true) turns them into partitions and holds up writers meanwhile');
  end if;
  -- Writers are waited for, and wait, at the tables themselves: one that had chosen the default partition already would be
  -- refused once another partition takes its row.
  lock table event_outbox, iu_route_attempt in access exclusive mode;
  if v_last_at is null or v_last_at < v_upper_at then
    -- Time has run past the partitions that there are: what came since lies in the default partitions.
    if exists (select from event_outbox_default) or exists (select from iu_route_attempt_default) then
      if not exists (select from event_outbox_default where event_outbox_default.id < fn_iu_uuid_v7_at(v_last_at))
        and not exists (
          select
          from iu_route_attempt_default
          where iu_route_attempt_default.idempotency_key < fn_iu_uuid_v7_at(v_last_at)::text
        )
        and not exists (select from event_outbox_default where event_outbox_default.id >= fn_iu_uuid_v7_at(v_upper_at))
      then
        v_adopted := fn_iu_retention_adopt(v_upper_at);
        v_created := v_created || v_adopted;
      end if;
    else
      v_created := v_created || fn_iu_retention_attach(v_upper_at, coalesce(v_last_at, v_upper_at - v_hours));
    end if;
    v_last_at := v_upper_at;
  end if;
  while v_last_at < v_upper_at + v_ahead * v_hours loop
    exit when exists (
      select
      from event_outbox_default
      where event_outbox_default.id >= fn_iu_uuid_v7_at(v_last_at)
        and event_outbox_default.id < fn_iu_uuid_v7_at(v_last_at + v_hours)
    );
    v_created := v_created || fn_iu_retention_attach(v_last_at + v_hours, v_last_at);
    v_last_at := v_last_at + v_hours;
  end loop;
  return jsonb_build_object('created', to_jsonb(v_created), 'adopted', v_adopted, 'because', null);
end
$$;
comment on function fn_iu_retention_prepare(boolean) is
  'Layer worker. Makes the partitions of the coming time where they are missing; answers which it made.';

alter function fn_iu_uuid_v7_at(timestamptz) owner to iu_core_owner;
alter function fn_iu_retention_boundary(timestamptz) owner to iu_core_owner;
alter function fn_iu_retention_attach(timestamptz, timestamptz) owner to iu_core_owner;
alter function fn_iu_retention_adopt(timestamptz) owner to iu_core_owner;
alter function fn_iu_retention_prepare(boolean) owner to iu_core_owner;

revoke all on function fn_iu_uuid_v7_at(timestamptz) from public;
revoke all on function fn_iu_retention_boundary(timestamptz) from public;
revoke all on function fn_iu_retention_attach(timestamptz, timestamptz) from public;
revoke all on function fn_iu_retention_adopt(timestamptz) from public;
revoke all on function fn_iu_retention_prepare(boolean) from public;
grant execute on function fn_iu_uuid_v7_at(timestamptz) to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_retention_prepare(boolean) to iu_core_operator;
