-- does:      installs the health of the worker and the naming of what holds the high-water mark back.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_horizon_blocker()
  returns jsonb
  language sql
  volatile
  set search_path from current
as $$
-- does: names what holds the high-water mark back the longest: a session or a prepared transaction, in any database,
--       never the caller's own session; null where nothing does.
-- called by: health; locks: none; raises: nothing. Who has not pg_read_all_stats sees no age of other logins' sessions.
with
  holder as (
    select
      age(s.backend_xid) as transactions,
      jsonb_build_object(
        'kind', 'session',
        'pid', s.pid,
        'xid', s.backend_xid::text,
        'age_seconds', round(extract(epoch from clock_timestamp() - s.xact_start)::numeric, 3),
        'state', s.state,
        'database', s.datname,
        'user', s.usename,
        'application', s.application_name
      ) as described
    from pg_stat_activity as s
    where s.backend_xid is not null
      and s.pid <> pg_backend_pid()
    union all
    select
      age(p.transaction),
      jsonb_build_object(
        'kind', 'prepared_transaction',
        'gid', p.gid,
        'xid', p.transaction::text,
        'age_seconds', round(extract(epoch from clock_timestamp() - p.prepared)::numeric, 3),
        'database', p.database,
        'user', p.owner
      )
    from pg_prepared_xacts as p
  ),
  oldest as (
    select holder.described
    from holder
    order by holder.transactions desc
    limit 1
  )
select oldest.described
from oldest
$$;
comment on function fn_iu_horizon_blocker() is
  'Layer worker. What holds the high-water mark back the longest, with pid, xid, age, database, user and application; never the caller.';

create function fn_iu_route_worker_health()
  returns jsonb
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: one picture of the worker: gates, backlog, age of the oldest undecided event, high-water mark and what holds it
--       back, what is blocked, held or queued, dead letters, last run; healthy, or the reasons why not. Attempts are counted up to
--       100,000. In a probe it counts the probe's own rows only.
-- called by: operators, checks, observe windows.
-- locks: none.
-- raises: config_file_error where a limit is not configured.
declare
  v_probe constant boolean := fn_iu_in_probe();
  v_own constant xid8 := pg_current_xact_id_if_assigned();
  v_max_unrouted constant integer := fn_iu_config_positive_int('iu_core.health_max_unrouted_seconds');
  v_max_stall constant integer := fn_iu_config_positive_int('iu_core.health_max_stall_seconds');
  v_master_open constant boolean := fn_iu_gate_open('iu_core.outbound_enabled');
  v_worker_open constant boolean := fn_iu_gate_open('iu_core.route_worker_enabled');
  v_epoch constant integer := (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch);
  v_blocker jsonb := case when not v_probe then fn_iu_horizon_blocker() end;
  v_stall_seconds numeric;
  v_backlog bigint;
  v_unsettled bigint;
  v_oldest_seconds numeric;
  v_unsettled_seconds numeric;
  v_cursors jsonb;
  v_foreign text;
  v_attempts bigint;
  v_attempts_shown constant integer := 100000;
  v_blocked bigint;
  v_held bigint;
  v_held_seconds numeric;
  v_delivery jsonb;
  v_dead_letters bigint;
  v_reasons text[];
begin
  select
    max(behind.events),
    max(behind.unsettled),
    round(max(extract(epoch from clock_timestamp() - behind.oldest_at))::numeric, 3),
    round(max(extract(epoch from clock_timestamp() - behind.oldest_unsettled_at))::numeric, 3),
    jsonb_agg(jsonb_build_object(
      'cursor_code', behind.cursor_code,
      'paused_because', behind.paused_because,
      'backlog', behind.events,
      'cursor_event_id', behind.cursor_event_id,
      'cursor_created_at', behind.cursor_created_at,
      'last_run_at', behind.last_run_at,
      'last_run_summary', behind.last_run_summary
    ) order by behind.cursor_code),
    string_agg(behind.cursor_code, ', ') filter (where behind.system_identifier <> fn_iu_system_identifier())
  into v_backlog, v_unsettled, v_oldest_seconds, v_unsettled_seconds, v_cursors, v_foreign
  from (
    select
      iu_route_worker_cursor.*,
      ahead.events,
      ahead.unsettled,
      ahead.oldest_at,
      ahead.oldest_unsettled_at
    from iu_route_worker_cursor
    cross join lateral (
      select
        count(*) as events,
        count(*) filter (where not found.settled) as unsettled,
        min(found.created_at) as oldest_at,
        min(found.created_at) filter (where not found.settled) as oldest_unsettled_at
      from (
        select
          event_outbox.created_at,
          v_probe or (event_outbox.epoch, event_outbox.xact_id) < (
            v_epoch, pg_snapshot_xmin(pg_current_snapshot())) as settled
        from event_outbox
        where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
            coalesce(iu_route_worker_cursor.cursor_epoch, 0),
            coalesce(iu_route_worker_cursor.cursor_xact_id, '0'),
            coalesce(iu_route_worker_cursor.cursor_created_at, '-infinity'),
            coalesce(iu_route_worker_cursor.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
          and (not v_probe or event_outbox.xact_id = v_own)
      ) as found
    ) as ahead
  ) as behind;

  select count(*)
  into v_attempts
  from (
    select
    from iu_route_attempt
    where not v_probe
      or iu_route_attempt.xact_id = v_own
    limit v_attempts_shown
  ) as in_audit;

  select count(*)
  into v_blocked
  from fn_iu_route_blocked(null) as blocked
  where not v_probe
    or exists (
      select
      from iu_route_attempt
      where iu_route_attempt.idempotency_key = blocked.idempotency_key
        and iu_route_attempt.xact_id = v_own
    );

  select
    count(*),
    round(extract(epoch from clock_timestamp() - min(iu_route_held.held_at))::numeric, 3)
  into v_held, v_held_seconds
  from iu_route_held
  where not v_probe
    or iu_route_held.xact_id = v_own;

  select jsonb_build_object(
    'queued', count(*),
    'due', count(*) filter (where iu_route_delivery.due_at <= clock_timestamp()),
    'leased', count(*) filter (where iu_route_delivery.lease_token in (
      select iu_route_lease.lease_token
      from iu_route_lease
      where iu_route_lease.leased_until > clock_timestamp()
    )),
    'retrying', count(*) filter (where iu_route_delivery.tries > 0),
    'oldest_queued_seconds',
      coalesce(round(extract(epoch from clock_timestamp() - min(iu_route_delivery.queued_at))::numeric, 3), 0),
    'oldest_due_seconds', coalesce(
      round(extract(epoch from clock_timestamp() - min(iu_route_delivery.due_at)
        filter (where iu_route_delivery.due_at <= clock_timestamp()))::numeric, 3),
      0),
    'not_live', coalesce((
      select jsonb_agg(distinct waiting.route_code)
      from iu_route_delivery as waiting
      left join iu_outbound_route using (route_code)
      where iu_outbound_route.enabled is not true
        or iu_outbound_route.dry_run
        or not fn_iu_delivery_open(waiting.route_code)
    ), '[]'))
  into v_delivery
  from iu_route_delivery
  where not v_probe
    or iu_route_delivery.xact_id = v_own;

  select count(*)
  into v_dead_letters
  from iu_route_dead_letter
  where iu_route_dead_letter.state = 'open'
    and (not v_probe or iu_route_dead_letter.xact_id = v_own);

  -- An unsettled event is younger than what holds it back: its age stands in for one that may not be seen.
  v_stall_seconds := coalesce((v_blocker ->> 'age_seconds')::numeric, v_unsettled_seconds, 0);
  v_reasons := array_remove(array[
    case when not exists (select from dot_config where dot_config.key = 'iu_core.outbound_enabled')
      then 'the master gate has no row' end,
    case when not exists (select from dot_config where dot_config.key = 'iu_core.route_worker_enabled')
      then 'the worker gate has no row: the worker is not registered' end,
    case when v_cursors is null
      then 'no cursor is registered' end,
    case when v_foreign is not null
      then format('cursor %s counts transactions of another cluster', v_foreign) end,
    case when v_oldest_seconds > v_max_unrouted
      then format('the oldest undecided event is %s s old, the limit is %s s%s', v_oldest_seconds, v_max_unrouted,
        case when v_master_open and v_worker_open then '' else '; a gate is closed' end) end,
    case when v_unsettled > 0 and v_stall_seconds > v_max_stall
      then format('the high-water mark is held back for %s s: %s', v_stall_seconds, v_blocker) end,
    case when v_held > 0 and v_held_seconds > v_max_unrouted
      then format('%s events have been held back for the order of their subject, the longest for %s s', v_held, v_held_seconds) end,
    case when (v_delivery ->> 'oldest_due_seconds')::numeric > v_max_unrouted
      then format('%s deliveries are queued, the longest due for %s s, the limit is %s s%s', v_delivery ->> 'queued',
        v_delivery ->> 'oldest_due_seconds', v_max_unrouted,
        case when v_delivery -> 'not_live' <> '[]' then format('; not live now: %s', v_delivery -> 'not_live') else '' end) end,
    case when v_dead_letters > 0
      then format('%s dead letters are open', v_dead_letters) end
  ], null);

  return jsonb_build_object(
    'healthy', cardinality(v_reasons) = 0,
    'reasons', to_jsonb(v_reasons),
    'probe', v_probe,
    'master_gate_open', v_master_open,
    'worker_gate_open', v_worker_open,
    'delivery_gate_open', fn_iu_gate_open('iu_core.delivery_enabled'),
    'backlog', coalesce(v_backlog, 0),
    'oldest_unrouted_seconds', coalesce(v_oldest_seconds, 0),
    'high_water_mark', jsonb_build_object(
      'xid', pg_snapshot_xmin(pg_current_snapshot()),
      'lag_transactions',
        pg_snapshot_xmax(pg_current_snapshot())::text::numeric - pg_snapshot_xmin(pg_current_snapshot())::text::numeric,
      'lag_seconds', v_stall_seconds,
      'unsettled', coalesce(v_unsettled, 0),
      'stalled', coalesce(v_unsettled, 0) > 0 and v_stall_seconds > v_max_stall,
      'blocker', v_blocker
    ),
    'attempts_in_audit', v_attempts,
    'attempts_in_audit_or_more', v_attempts = v_attempts_shown,
    'blocked', v_blocked,
    'held', v_held,
    'queued_deliveries', (v_delivery ->> 'queued')::bigint,
    'delivery', v_delivery,
    'dead_letter_open', v_dead_letters,
    'cursors', coalesce(v_cursors, '[]')
  );
end
$$;
comment on function fn_iu_route_worker_health() is
  'Layer worker. Health as one object: gates, backlog, high-water mark and its blocker, dead letters, last runs, reasons.';

alter function fn_iu_horizon_blocker() owner to iu_core_owner;
alter function fn_iu_route_worker_health() owner to iu_core_owner;

revoke all on function fn_iu_horizon_blocker() from public;
revoke all on function fn_iu_route_worker_health() from public;
grant execute on function fn_iu_horizon_blocker() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_worker_health() to iu_core_operator, iu_core_auditor;
