-- does:      installs the proof that nothing was lost.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_conservation()
  returns jsonb
  language plpgsql
  stable
  set search_path from current
as $$
-- does: proves that nothing was lost or invented, in one snapshot: every event up to a cursor has its first decision by
--       that worker, is held back for the order of its subject or queued for delivery, and one for each route that was in
--       effect; attempt numbers have no gap, every attempt has its event,
--       every version after the first its event; lists the ids where that does not hold (the first 100 of each kind). What
--       retention has let go is told as totals and asked for no more.
-- called by: verifications, reports, operators.
-- locks: none.
-- raises: nothing of its own.
declare
  v_cursors jsonb;
  v_events_lost bigint;
  v_first_decisions jsonb;
  v_orphans jsonb;
  v_orphan_count bigint;
  v_number_gaps jsonb;
  v_number_gap_count bigint;
  v_versions bigint;
  v_silent_versions jsonb;
  v_silent_version_count bigint := 0;
  v_held jsonb;
  v_queued jsonb;
  v_unmatched jsonb;
  v_unmatched_count bigint;
  v_retired_until constant timestamptz := fn_iu_retention_retired_until();
  v_has_retired constant boolean := v_retired_until > '-infinity';
  v_first_kept constant uuid := case when v_has_retired then fn_iu_uuid_v7_at(v_retired_until) end;
begin
  with
    first_decided as (
      select distinct
        iu_route_attempt.worker_code,
        iu_route_attempt.event_id
      from iu_route_attempt
      where iu_route_attempt.attempt_no = 1
      union
      select
        iu_route_held.worker_code,
        iu_route_held.event_id
      from iu_route_held
      union
      select
        iu_route_delivery.worker_code,
        iu_route_delivery.event_id
      from iu_route_delivery
    ),
    up_to_cursor as (
      select
        iu_route_worker_cursor.cursor_code,
        event_outbox.id,
        first_decided.event_id is not null as decided
      from iu_route_worker_cursor
      join event_outbox
        on (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) <= (
          iu_route_worker_cursor.cursor_epoch,
          iu_route_worker_cursor.cursor_xact_id,
          iu_route_worker_cursor.cursor_created_at,
          iu_route_worker_cursor.cursor_event_id)
      left join first_decided
        on first_decided.event_id = event_outbox.id
        and first_decided.worker_code = iu_route_worker_cursor.cursor_code
    ),
    counted as (
      select
        iu_route_worker_cursor.cursor_code,
        count(up_to_cursor.id) as events,
        count(*) filter (where up_to_cursor.decided) as decided,
        (array_agg(up_to_cursor.id order by up_to_cursor.id) filter (where not up_to_cursor.decided))[1:100] as lost
      from iu_route_worker_cursor
      left join up_to_cursor using (cursor_code)
      group by iu_route_worker_cursor.cursor_code
    )
  select
    jsonb_agg(jsonb_build_object(
      'cursor_code', counted.cursor_code,
      'events_up_to_cursor', counted.events,
      'events_decided', counted.decided,
      'events_without_attempt', coalesce(to_jsonb(counted.lost), '[]')
    ) order by counted.cursor_code),
    sum(counted.events - counted.decided)
  into v_cursors, v_events_lost
  from counted;

  with
    by_decision as (
      select
        iu_route_attempt.worker_code,
        iu_route_attempt.route_code,
        iu_route_attempt.decision,
        count(*) as attempts
      from iu_route_attempt
      where iu_route_attempt.attempt_no = 1
      group by iu_route_attempt.worker_code, iu_route_attempt.route_code, iu_route_attempt.decision
    )
  select jsonb_agg(to_jsonb(by_decision) order by by_decision.worker_code, by_decision.route_code, by_decision.decision)
  into v_first_decisions
  from by_decision;

  with
    by_route as (
      select
        iu_route_held.worker_code,
        iu_route_held.route_code,
        count(*) as events
      from iu_route_held
      group by iu_route_held.worker_code, iu_route_held.route_code
    )
  select jsonb_agg(to_jsonb(by_route) order by by_route.worker_code, by_route.route_code)
  into v_held
  from by_route;

  -- Queued and not tried yet: what was tried has its first attempt and is counted there.
  with
    by_route as (
      select
        iu_route_delivery.worker_code,
        iu_route_delivery.route_code,
        count(*) as events
      from iu_route_delivery
      where iu_route_delivery.attempt_no = 1
      group by iu_route_delivery.worker_code, iu_route_delivery.route_code
    )
  select jsonb_agg(to_jsonb(by_route) order by by_route.worker_code, by_route.route_code)
  into v_queued
  from by_route;

  with
    orphan as (
      select iu_route_attempt.event_id
      from iu_route_attempt
      where (not v_has_retired or iu_route_attempt.event_id >= v_first_kept)
        and not exists (
          select
          from event_outbox
          where event_outbox.id = iu_route_attempt.event_id
        )
    )
  select count(*), to_jsonb((array_agg(orphan.event_id))[1:100])
  into v_orphan_count, v_orphans
  from orphan;

  with
    gap as (
      select iu_route_attempt.idempotency_key
      from iu_route_attempt
      where not v_has_retired
        or iu_route_attempt.event_id >= v_first_kept
      group by iu_route_attempt.idempotency_key
      having max(iu_route_attempt.attempt_no) <> count(*)
    )
  select count(*), to_jsonb((array_agg(gap.idempotency_key))[1:100])
  into v_number_gap_count, v_number_gaps
  from gap;

  -- A route that was changed last by a transaction below the event's own was in effect when the event was claimed: the mark
  -- lay above both.
  with
    in_effect as (
      select
        iu_outbound_route.route_code,
        iu_outbound_route.event_domain,
        iu_outbound_route.event_type,
        iu_outbound_route.event_filter,
        (
          select max(iu_control_change.xact_id)
          from iu_control_change
          where iu_control_change.control = 'route'
            and iu_control_change.name = iu_outbound_route.route_code
        ) as since
      from iu_outbound_route
      where iu_outbound_route.enabled
    ),
    expected as (
      select
        event_outbox.id::text || ':' || in_effect.route_code || ':' || iu_route_worker_cursor.cursor_code as idempotency_key,
        event_outbox.id::text || ':-:' || iu_route_worker_cursor.cursor_code as key_of_the_whole
      from iu_route_worker_cursor
      join event_outbox
        on (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) <= (
          iu_route_worker_cursor.cursor_epoch,
          iu_route_worker_cursor.cursor_xact_id,
          iu_route_worker_cursor.cursor_created_at,
          iu_route_worker_cursor.cursor_event_id)
      join in_effect
        on in_effect.event_domain = event_outbox.event_domain
        and in_effect.event_type = event_outbox.event_type
        and in_effect.since < event_outbox.xact_id
      where event_outbox.epoch = (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch)
        and (
          in_effect.event_filter is null
          or jsonb_path_query_first(event_outbox.payload, in_effect.event_filter, '{}', true) not in ('false', 'null')
        )
    ),
    accounted as (
      select iu_route_attempt.idempotency_key
      from iu_route_attempt
      where iu_route_attempt.attempt_no = 1
      union all
      select iu_route_held.event_id::text || ':' || iu_route_held.route_code || ':' || iu_route_held.worker_code
      from iu_route_held
      union all
      select iu_route_delivery.event_id::text || ':' || iu_route_delivery.route_code || ':' || iu_route_delivery.worker_code
      from iu_route_delivery
    ),
    unmatched as (
      select expected.idempotency_key
      from expected
      left join accounted on accounted.idempotency_key = expected.idempotency_key
      where accounted.idempotency_key is null
        and not exists (
          -- The event failed as a whole: its dead letter stands for every route.
          select
          from iu_route_dead_letter
          where iu_route_dead_letter.idempotency_key = expected.key_of_the_whole
            and iu_route_dead_letter.state <> 'resolved'
        )
    )
  select count(*), to_jsonb((array_agg(unmatched.idempotency_key order by unmatched.idempotency_key))[1:100])
  into v_unmatched_count, v_unmatched
  from unmatched;

  if to_regclass('unit_version') is not null then
    execute $versions$
      with
        told as (
          select distinct event_outbox.subject_ref
          from event_outbox
          where event_outbox.event_domain = 'iu'
            and event_outbox.event_type = 'version_applied'
        ),
        expected as (
          select
            unit_version.id,
            told.subject_ref is not null as told
          from unit_version
          left join told on told.subject_ref = unit_version.id
          where unit_version.version_seq > 1
            and unit_version.created_at >= $1
        )
      select
        count(*),
        count(*) filter (where not expected.told),
        to_jsonb((array_agg(expected.id order by expected.id) filter (where not expected.told))[1:100])
      from expected
    $versions$
    into v_versions, v_silent_version_count, v_silent_versions
    using v_retired_until;
  end if;

  return jsonb_build_object(
    'balanced', coalesce(v_events_lost, 0) = 0 and v_orphan_count = 0 and v_number_gap_count = 0 and v_unmatched_count = 0
      and v_silent_version_count = 0,
    'events', (select count(*) from event_outbox),
    'cursors', coalesce(v_cursors, '[]'),
    'first_decisions', coalesce(v_first_decisions, '[]'),
    'held', coalesce(v_held, '[]'),
    'queued_deliveries', coalesce(v_queued, '[]'),
    'retired', (
      select jsonb_build_object(
        'partitions', count(*),
        'events', coalesce(sum(iu_outbox_partition.events), 0),
        'attempts', coalesce(sum(iu_outbox_partition.attempts), 0))
      from iu_outbox_partition
      where iu_outbox_partition.retired_at is not null
    ),
    'attempts_without_event', coalesce(v_orphans, '[]'),
    'attempts_without_event_count', v_orphan_count,
    'keys_with_missing_attempt_numbers', coalesce(v_number_gaps, '[]'),
    'keys_with_missing_attempt_numbers_count', v_number_gap_count,
    'matches_without_attempt', coalesce(v_unmatched, '[]'),
    'matches_without_attempt_count', v_unmatched_count,
    'versions_after_the_first', v_versions,
    'versions_without_event', coalesce(v_silent_versions, '[]'),
    'versions_without_event_count', v_silent_version_count
  );
end
$$;
comment on function fn_iu_conservation() is
  'Layer worker. Proof that nothing was lost: events up to each cursor against first decisions, versions against events, with the ids that fail.';

alter function fn_iu_conservation() owner to iu_core_owner;

revoke all on function fn_iu_conservation() from public;
grant execute on function fn_iu_conservation() to iu_core_operator, iu_core_auditor;
