-- does:      installs what the route worker keeps: its cursors (keyset offsets, since the outbox has no delivery state),
--            its dead letters, what it holds back for the sake of order, the queue of deliveries, and the marker that tells a
--            probe from real work and can never be committed.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, duplicate_function where foreign objects hold these names.

create table iu_route_worker_cursor (
  cursor_code text collate "C" primary key,
  cursor_epoch integer,
  cursor_xact_id xid8,
  cursor_created_at timestamptz,
  cursor_event_id uuid,
  system_identifier bigint not null default fn_iu_system_identifier(),
  safety_lag interval not null default '0',
  paused_because text,
  last_run_at timestamptz,
  last_run_summary jsonb,
  created_at timestamptz not null default clock_timestamp(),
  constraint a_pause_has_its_reason check (paused_because ~ '\S'),
  constraint cursor_code_is_plain check (cursor_code ~ '^[a-z0-9][a-z0-9_.]*$' and length(cursor_code) <= 100),
  constraint keyset_is_whole_or_absent check (
    num_nulls(cursor_epoch, cursor_xact_id, cursor_created_at, cursor_event_id) in (0, 4)),
  constraint safety_lag_is_not_negative check (safety_lag >= '0'),
  constraint a_run_leaves_its_summary check ((last_run_at is null) = (last_run_summary is null))
) with (fillfactor = 20);
comment on table iu_route_worker_cursor is
  'Layer worker. One row for each worker: the last event it has decided about, in commit order. Few rows, updated in place.';
comment on column iu_route_worker_cursor.cursor_code is 'Name of the cursor and of its worker; part of every idempotency key.';
comment on column iu_route_worker_cursor.cursor_epoch is 'Epoch of the last event; null before the first.';
comment on column iu_route_worker_cursor.cursor_xact_id is 'Transaction of the last event; null before the first.';
comment on column iu_route_worker_cursor.cursor_created_at is 'When the last event was written; null before the first.';
comment on column iu_route_worker_cursor.cursor_event_id is 'The last event; null before the first.';
comment on column iu_route_worker_cursor.system_identifier is
  'Cluster that the cursor counts in; in any other the worker refuses until fn_iu_outbox_rebase has run.';
comment on column iu_route_worker_cursor.safety_lag is 'Additional wait before an event is claimed; 0 is safe.';
comment on column iu_route_worker_cursor.paused_because is
  'Why it claims nothing for now: a run answers paused. Null: it does not rest.';
comment on column iu_route_worker_cursor.last_run_at is 'When the worker ran last, with open gates.';
comment on column iu_route_worker_cursor.last_run_summary is 'What that run returned, and its horizon.';
comment on column iu_route_worker_cursor.created_at is 'When it was registered.';

create table iu_route_dead_letter (
  dead_letter_id uuid primary key default fn_iu_uuid_v7(),
  idempotency_key text collate "C" not null,
  event_id uuid not null,
  route_code text collate "C",
  worker_code text collate "C" not null,
  event jsonb not null,
  route jsonb,
  last_attempt jsonb not null,
  failure_code text not null,
  failure_detail jsonb not null default '{}',
  fingerprint text not null,
  first_failure jsonb not null default '{}',
  last_failed_at timestamptz not null default clock_timestamp(),
  state text not null default 'open',
  replay_count integer not null default 0,
  state_actor text,
  state_reason text,
  state_at timestamptz,
  xact_id xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  constraint one_letter_for_each_key unique (idempotency_key),
  constraint state_is_known check (state in ('open', 'resolved', 'parked', 'discarded')),
  constraint replay_count_is_not_negative check (replay_count >= 0),
  constraint a_closed_letter_tells_who_and_why check (
    state = 'open' or (state_actor ~ '\S' and state_reason ~ '\S' and state_at is not null)),
  constraint failure_code_is_named check (failure_code ~ '\S'),
  constraint failure_detail_is_an_object check (jsonb_typeof(failure_detail) = 'object')
-- Kept in the row as a whole: a letter is little longer than what is moved out otherwise, and compressed with every update.
) with (toast_tuple_target = 8160);
create index iu_route_dead_letter_open on iu_route_dead_letter (created_at) where state = 'open';
create index iu_route_dead_letter_fingerprint on iu_route_dead_letter (fingerprint, created_at);
comment on table iu_route_dead_letter is
  'Layer worker. What could not be routed or delivered, as a snapshot; nothing deletes a row.';
comment on column iu_route_dead_letter.dead_letter_id is 'Identity, uuid v7.';
comment on column iu_route_dead_letter.idempotency_key is 'Key of the attempts it tells of; a replay keeps it.';
comment on column iu_route_dead_letter.event_id is 'The event.';
comment on column iu_route_dead_letter.route_code is 'The route; null where the failure belongs to none.';
comment on column iu_route_dead_letter.worker_code is 'The worker.';
comment on column iu_route_dead_letter.event is 'The event as it was.';
comment on column iu_route_dead_letter.route is 'The route as it was; null where the failure belongs to none.';
comment on column iu_route_dead_letter.last_attempt is 'The newest attempt under the key.';
comment on column iu_route_dead_letter.failure_code is 'Code of the newest failure; worker_process_error is a batch that raised.';
comment on column iu_route_dead_letter.failure_detail is 'SQLSTATE and message of the newest failure.';
comment on column iu_route_dead_letter.fingerprint is 'Equal for failures of one kind: route, code and message without its values.';
comment on column iu_route_dead_letter.first_failure is
  'The failure that made it a letter: attempt_no, failure_code, detail; empty where nobody told.';
comment on column iu_route_dead_letter.last_failed_at is 'When the newest failure was recorded; created_at is when the first was.';
comment on column iu_route_dead_letter.state is 'open; resolved (a replay succeeded); parked; discarded.';
comment on column iu_route_dead_letter.replay_count is 'Replays so far.';
comment on column iu_route_dead_letter.state_actor is 'Who set the state, as claimed.';
comment on column iu_route_dead_letter.state_reason is 'Why.';
comment on column iu_route_dead_letter.state_at is 'When.';
comment on column iu_route_dead_letter.xact_id is 'Transaction that wrote the letter.';
comment on column iu_route_dead_letter.created_at is 'When it was written.';

create function fn_iu_dead_letter_guard()
  returns trigger
  language plpgsql
  set search_path from current
as $$
-- does: refuses a change of a snapshot, or of a letter whose state is final; the triggers tell which those are.
-- called by: triggers trg_iu_dead_letter_guard, trg_iu_dead_letter_snapshot; locks: none; raises: SL004.
begin
  raise exception using
    errcode = 'SL004',
    message = format('dead letter %s is a snapshot; this change of it is refused', old.dead_letter_id),
    hint = 'Only an open or parked letter may change its state and newest failure. Nothing was changed.';
end
$$;
comment on function fn_iu_dead_letter_guard() is
  'Layer worker. Trigger: the snapshot in a dead letter never changes, and a resolved or discarded one is final.';

create trigger trg_iu_dead_letter_guard
  before update on iu_route_dead_letter
  for each row
  when (old.state in ('resolved', 'discarded') or new.replay_count < old.replay_count)
  execute function fn_iu_dead_letter_guard();
-- By column: to compare the snapshots of every letter that is updated takes longer than the update.
create trigger trg_iu_dead_letter_snapshot
  before update of dead_letter_id, idempotency_key, event_id, route_code, worker_code, event, route, first_failure, xact_id,
    created_at
  on iu_route_dead_letter
  for each row execute function fn_iu_dead_letter_guard();
create trigger trg_iu_dead_letter_no_delete
  before delete on iu_route_dead_letter
  for each row execute function fn_iu_append_only();
create trigger trg_iu_dead_letter_no_truncate
  before truncate on iu_route_dead_letter
  for each statement execute function fn_iu_append_only();
alter table iu_route_dead_letter enable always trigger trg_iu_dead_letter_guard;
alter table iu_route_dead_letter enable always trigger trg_iu_dead_letter_snapshot;
alter table iu_route_dead_letter enable always trigger trg_iu_dead_letter_no_delete;
alter table iu_route_dead_letter enable always trigger trg_iu_dead_letter_no_truncate;

create table iu_route_held (
  worker_code text collate "C" not null,
  route_code text collate "C" not null,
  event_domain text collate "C" not null,
  event_subject text collate "C" not null,
  subject_seq bigint not null,
  event_id uuid not null,
  xact_id xid8 not null default pg_current_xact_id(),
  held_at timestamptz not null default clock_timestamp(),
  constraint iu_route_held_pkey primary key (worker_code, route_code, event_domain, event_subject, subject_seq),
  constraint an_event_is_held_once unique (event_id, route_code, worker_code)
);
comment on table iu_route_held is
  'Layer worker. Events of ordered routes that wait for the one before them of the same subject; a run releases them.';
comment on column iu_route_held.worker_code is 'The worker whose cursor has passed the event.';
comment on column iu_route_held.route_code is 'The route that asks for order.';
comment on column iu_route_held.event_domain is 'Domain of the subject.';
comment on column iu_route_held.event_subject is 'The subject.';
comment on column iu_route_held.subject_seq is 'Place of the event among those of its subject.';
comment on column iu_route_held.event_id is 'The event.';
comment on column iu_route_held.xact_id is 'Transaction that held it back.';
comment on column iu_route_held.held_at is 'Since when.';

create table iu_route_delivery (
  event_id uuid not null,
  route_code text collate "C" not null,
  worker_code text collate "C" not null,
  attempt_no integer not null,
  tries integer not null default 0,
  target_kind text not null,
  target_ref text not null,
  request jsonb not null,
  safe_payload jsonb,
  detail jsonb not null default '{}',
  body bytea,
  body_sha256 text,
  due_at timestamptz not null default clock_timestamp(),
  lease_token uuid,
  xact_id xid8 not null default pg_current_xact_id(),
  queued_at timestamptz not null default clock_timestamp(),
  constraint iu_route_delivery_pkey primary key (event_id, route_code),
  constraint attempt_no_is_positive check (attempt_no > 0),
  constraint tries_are_not_negative check (tries >= 0),
  constraint request_is_an_object check (jsonb_typeof(request) = 'object'),
  constraint detail_is_an_object check (jsonb_typeof(detail) = 'object'),
  constraint a_frozen_body_has_its_hash check (body is null or body_sha256 is not null)
) with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
-- Over an expression: else a plan that was made while the table was empty looks one delivery up here, by its route, and reads
-- through everything that is queued for it.
create index iu_route_delivery_due on iu_route_delivery ((route_code || ''), due_at);
comment on table iu_route_delivery is
  'Layer worker. Queue of live deliveries that leave the database: a row from the routing of an event until its outcome is settled.';
comment on column iu_route_delivery.event_id is 'The event. With the route it is the key that the target is given, so no second worker repeats an effect.';
comment on column iu_route_delivery.route_code is 'The route.';
comment on column iu_route_delivery.worker_code is 'The worker that routed it.';
comment on column iu_route_delivery.attempt_no is 'Number that the attempt of the next try will carry.';
comment on column iu_route_delivery.tries is 'Tries so far; a lost worker is none.';
comment on column iu_route_delivery.target_kind is 'Kind of the target when it was queued.';
comment on column iu_route_delivery.target_ref is 'The target when it was queued.';
comment on column iu_route_delivery.request is 'What the target is given beside the payload, frozen.';
comment on column iu_route_delivery.safe_payload is 'The event''s payload, frozen.';
comment on column iu_route_delivery.detail is 'Goes into the detail of its attempts: who released or replayed it, and why.';
comment on column iu_route_delivery.body is 'Bytes that the first try sent, kept for the next one; null before that.';
comment on column iu_route_delivery.body_sha256 is 'Their SHA-256, lower-case hex.';
comment on column iu_route_delivery.due_at is 'No try begins before.';
comment on column iu_route_delivery.lease_token is
  'The claim that took it last: whoever holds that token may settle. It may be claimed again where that lease is over.';
comment on column iu_route_delivery.xact_id is 'Transaction that queued it.';
comment on column iu_route_delivery.queued_at is 'When it was queued.';

create table iu_route_lease (
  lease_token uuid primary key,
  route_code text collate "C" not null,
  leased_by text not null,
  leased_until timestamptz not null,
  claimed_at timestamptz not null default clock_timestamp(),
  constraint a_lease_names_its_holder check (leased_by ~ '\S')
);
comment on table iu_route_lease is
  'Layer worker. One row for each claim of deliveries whose outcome is awaited; it is held by its token until it is given back or over.';
comment on column iu_route_lease.lease_token is 'Known to the claimer alone.';
comment on column iu_route_lease.route_code is 'Route of the claimed deliveries.';
comment on column iu_route_lease.leased_by is 'The worker process that holds it.';
comment on column iu_route_lease.leased_until is 'From then on its deliveries may be claimed again.';
comment on column iu_route_lease.claimed_at is 'When it began.';

create table iu_probe_marker (
  xact_id xid8 primary key default pg_current_xact_id(),
  opened_at timestamptz not null default clock_timestamp(),
  constraint marker_is_of_its_own_transaction check (xact_id = pg_current_xact_id())
);
comment on table iu_probe_marker is
  'Layer worker. A row marks its own transaction as a probe; it can never be committed, so the table is always empty.';
comment on column iu_probe_marker.xact_id is 'The transaction that is a probe.';
comment on column iu_probe_marker.opened_at is 'When it began.';

create function fn_iu_probe_refuse_commit()
  returns trigger
  language plpgsql
  set search_path from current
as $$
-- does: stops a probe from being committed; called by: deferred trigger, at COMMIT; locks: none; raises: SL005.
begin
  raise exception using
    errcode = 'SL005',
    message = 'a probe is never committed',
    hint = 'End it with ROLLBACK. Nothing of it is left.';
end
$$;
comment on function fn_iu_probe_refuse_commit() is 'Layer worker. Trigger: raises at COMMIT of a transaction that holds a probe marker.';

create constraint trigger trg_iu_probe_refuse_commit
  after insert on iu_probe_marker
  deferrable initially deferred
  for each row execute function fn_iu_probe_refuse_commit();
create trigger trg_iu_probe_marker_stays
  before update or delete on iu_probe_marker
  for each row execute function fn_iu_append_only();
create trigger trg_iu_probe_marker_no_truncate
  before truncate on iu_probe_marker
  for each statement execute function fn_iu_append_only();
alter table iu_probe_marker enable always trigger trg_iu_probe_refuse_commit;
alter table iu_probe_marker enable always trigger trg_iu_probe_marker_stays;
alter table iu_probe_marker enable always trigger trg_iu_probe_marker_no_truncate;

create function fn_iu_in_probe()
  returns boolean
  language sql
  stable
  security definer
  set search_path from current
as $$
-- does: whether this transaction is a probe; called by: route worker, health, probe; locks: none; raises: nothing.
select exists (
  select
  from iu_probe_marker
  where iu_probe_marker.xact_id = pg_current_xact_id_if_assigned()
)
$$;
comment on function fn_iu_in_probe() is 'Layer worker. Whether this transaction holds a probe marker, and so can never be committed.';

create function fn_iu_probe_begin()
  returns void
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: turns this transaction into a probe; from here on it can only be rolled back.
-- called by: the first statement of every probe; locks: none; raises: SL005 at COMMIT.
begin
  if not fn_iu_in_probe() then
    insert into iu_probe_marker default values;
  end if;
end
$$;
comment on function fn_iu_probe_begin() is 'Layer worker. Turns this transaction into a probe: the worker sees only its own events, and COMMIT raises.';

create function fn_iu_probe_demand()
  returns void
  language plpgsql
  stable
  security definer
  set search_path from current
as $$
-- does: lets the next step of a probe happen only inside one; called by: probe steps; locks: none; raises: SL005.
begin
  if fn_iu_in_probe() is not true then
    raise exception using
      errcode = 'SL005',
      message = 'this step belongs to a probe, and no probe is open in this transaction',
      hint = 'Run the whole file between BEGIN and ROLLBACK. Nothing was changed.';
  end if;
end
$$;
comment on function fn_iu_probe_demand() is 'Layer worker. Refuses a probe''s step outside a probe.';

insert into dot_config (key, value)
values
  ('iu_core.route_worker_max_batch', '10000'),
  ('iu_core.health_max_unrouted_seconds', '300'),
  ('iu_core.health_max_stall_seconds', '60'),
  ('iu_core.retention_enabled', 'false'),
  ('iu_core.retention_keep_days', '30'),
  ('iu_core.retention_partition_hours', '24'),
  ('iu_core.retention_partitions_ahead', '7');

alter table iu_route_worker_cursor owner to iu_core_owner;
alter table iu_route_dead_letter owner to iu_core_owner;
alter table iu_route_held owner to iu_core_owner;
alter table iu_route_delivery owner to iu_core_owner;
alter table iu_route_lease owner to iu_core_owner;
alter table iu_probe_marker owner to iu_core_owner;
alter function fn_iu_dead_letter_guard() owner to iu_core_owner;
alter function fn_iu_probe_refuse_commit() owner to iu_core_owner;
alter function fn_iu_in_probe() owner to iu_core_owner;
alter function fn_iu_probe_begin() owner to iu_core_owner;
alter function fn_iu_probe_demand() owner to iu_core_owner;

revoke all on table iu_route_worker_cursor, iu_route_dead_letter, iu_route_held, iu_route_delivery, iu_route_lease,
  iu_probe_marker from public;
revoke all on function fn_iu_dead_letter_guard() from public;
revoke all on function fn_iu_probe_refuse_commit() from public;
revoke all on function fn_iu_in_probe() from public;
revoke all on function fn_iu_probe_begin() from public;
revoke all on function fn_iu_probe_demand() from public;
grant select on table iu_route_worker_cursor, iu_route_dead_letter, iu_route_held, iu_route_delivery, iu_route_lease,
  iu_probe_marker
  to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_in_probe() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_probe_begin() to iu_core_operator, iu_core_worker;
grant execute on function fn_iu_probe_demand() to iu_core_operator;
