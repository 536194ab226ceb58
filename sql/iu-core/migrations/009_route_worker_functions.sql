-- does:      completes the route worker, whose functions come before it, with its three views.
-- called by: macro event-worker, last of step install-009.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table where foreign objects hold these names.

create view v_iu_route_attempt_summary
  with (security_invoker = true)
as
select
  iu_route_attempt.worker_code,
  iu_route_attempt.route_code,
  iu_route_attempt.decision,
  iu_route_attempt.status,
  count(*) as attempts,
  count(*) filter (where iu_route_attempt.attempt_no = 1) as first_attempts,
  count(*) filter (where iu_route_attempt.delivered) as delivered,
  min(iu_route_attempt.created_at) as first_at,
  max(iu_route_attempt.created_at) as last_at
from iu_route_attempt
group by iu_route_attempt.worker_code, iu_route_attempt.route_code, iu_route_attempt.decision, iu_route_attempt.status;
comment on view v_iu_route_attempt_summary is 'Layer worker. Attempts by worker, route and decision.';
comment on column v_iu_route_attempt_summary.worker_code is 'The worker.';
comment on column v_iu_route_attempt_summary.route_code is 'The route; null where none matched.';
comment on column v_iu_route_attempt_summary.decision is 'What was decided.';
comment on column v_iu_route_attempt_summary.status is 'The decision as a delivery status.';
comment on column v_iu_route_attempt_summary.attempts is 'All attempts, replays included.';
comment on column v_iu_route_attempt_summary.first_attempts is 'First decisions only.';
comment on column v_iu_route_attempt_summary.delivered is 'Attempts after which the target had it.';
comment on column v_iu_route_attempt_summary.first_at is 'Time of the first.';
comment on column v_iu_route_attempt_summary.last_at is 'Time of the last.';

create view v_iu_event_backlog
  with (security_invoker = true)
as
select
  iu_route_worker_cursor.cursor_code,
  ahead.event_domain,
  ahead.event_type,
  count(*) as events,
  count(*) filter (where not ahead.settled) as unsettled,
  min(ahead.created_at) as oldest_at,
  max(ahead.created_at) as newest_at
from iu_route_worker_cursor
cross join lateral (
  select
    event_outbox.event_domain,
    event_outbox.event_type,
    event_outbox.created_at,
    (event_outbox.epoch, event_outbox.xact_id) < (
      (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch),
      pg_snapshot_xmin(pg_current_snapshot())) as settled
  from event_outbox
  where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
    coalesce(iu_route_worker_cursor.cursor_epoch, 0),
    coalesce(iu_route_worker_cursor.cursor_xact_id, '0'),
    coalesce(iu_route_worker_cursor.cursor_created_at, '-infinity'),
    coalesce(iu_route_worker_cursor.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
) as ahead
group by iu_route_worker_cursor.cursor_code, ahead.event_domain, ahead.event_type;
comment on view v_iu_event_backlog is 'Layer worker. Committed events that a cursor has not decided about yet, by domain and type.';
comment on column v_iu_event_backlog.cursor_code is 'The cursor.';
comment on column v_iu_event_backlog.event_domain is 'Domain of the events.';
comment on column v_iu_event_backlog.event_type is 'Type of the events.';
comment on column v_iu_event_backlog.events is 'How many wait.';
comment on column v_iu_event_backlog.unsettled is 'How many of them lie above the high-water mark: an older transaction is still open.';
comment on column v_iu_event_backlog.oldest_at is 'When the oldest was written.';
comment on column v_iu_event_backlog.newest_at is 'When the newest was written.';

create view v_iu_route_dead_letter_open
  with (security_invoker = true)
as
select
  iu_route_dead_letter.dead_letter_id,
  iu_route_dead_letter.event_id,
  iu_route_dead_letter.route_code,
  iu_route_dead_letter.worker_code,
  iu_route_dead_letter.failure_code,
  iu_route_dead_letter.failure_detail,
  iu_route_dead_letter.fingerprint,
  iu_route_dead_letter.replay_count,
  iu_route_dead_letter.created_at
from iu_route_dead_letter
where iu_route_dead_letter.state = 'open';
comment on view v_iu_route_dead_letter_open is 'Layer worker. Dead letters that nobody has resolved, parked or discarded.';
comment on column v_iu_route_dead_letter_open.dead_letter_id is 'Identity; a replay names it.';
comment on column v_iu_route_dead_letter_open.event_id is 'The event.';
comment on column v_iu_route_dead_letter_open.route_code is 'The route; null where the failure belongs to none.';
comment on column v_iu_route_dead_letter_open.worker_code is 'The worker.';
comment on column v_iu_route_dead_letter_open.failure_code is 'Code of the newest failure.';
comment on column v_iu_route_dead_letter_open.failure_detail is 'SQLSTATE and message of the newest failure.';
comment on column v_iu_route_dead_letter_open.fingerprint is 'Equal for failures of one kind.';
comment on column v_iu_route_dead_letter_open.replay_count is 'Replays so far.';
comment on column v_iu_route_dead_letter_open.created_at is 'When it was written.';

alter view v_iu_route_attempt_summary owner to iu_core_owner;
alter view v_iu_event_backlog owner to iu_core_owner;
alter view v_iu_route_dead_letter_open owner to iu_core_owner;

revoke all on table v_iu_route_attempt_summary, v_iu_event_backlog, v_iu_route_dead_letter_open from public;
grant select on table v_iu_route_attempt_summary, v_iu_event_backlog, v_iu_route_dead_letter_open
  to iu_core_operator, iu_core_auditor;
