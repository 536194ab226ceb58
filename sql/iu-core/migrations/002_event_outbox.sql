-- does:      installs the outbox, the routes and the audit of attempts. The database, not the producer, says in which
--            transaction, epoch and moment an event was written; outbox and audit are append-only, and partitioned along
--            the time-ordered event ids, so that what has been decided long ago can leave as a whole.
-- called by: macro iu-core-base.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, duplicate_function where foreign objects hold these names.

create function fn_iu_uuid_v7()
  returns uuid
  language plpgsql
  volatile
  parallel safe
  set search_path from current
as $$
-- does: a time-ordered uuid, version 7: 48 bits of milliseconds, 12 bits of the fraction below, 62 random bits.
-- called by: column defaults; locks: none; raises: nothing.
declare
  v_microseconds constant bigint := (extract(epoch from clock_timestamp()) * 1000000)::bigint;
  v_fraction constant integer := ((v_microseconds % 1000) * 4096 / 1000)::integer;
  v_bytes bytea := overlay(
    uuid_send(gen_random_uuid())
    placing substring(int8send(v_microseconds / 1000) from 3)
    from 1 for 6
  );
begin
  v_bytes := set_byte(v_bytes, 6, 112 | (v_fraction >> 8));
  v_bytes := set_byte(v_bytes, 7, v_fraction & 255);
  return encode(v_bytes, 'hex')::uuid;
end
$$;
comment on function fn_iu_uuid_v7() is 'Layer outbox. A time-ordered uuid (version 7), ordered to the microsecond.';

create function fn_iu_system_identifier()
  returns bigint
  language sql
  stable
  parallel safe
  set search_path from current
as $$
-- does: the identity that initdb gave this cluster; called by: outbox, route worker; locks: none; raises: nothing.
select system_identifier
from pg_control_system()
$$;
comment on function fn_iu_system_identifier() is 'Layer outbox. The identity of this cluster, which a dump does not carry along.';

create table iu_outbox_epoch (
  epoch integer primary key,
  system_identifier bigint not null,
  opened_at timestamptz not null default clock_timestamp(),
  constraint epoch_is_positive check (epoch > 0)
);
comment on table iu_outbox_epoch is
  'Layer outbox. Clusters this outbox has lived in. Transaction ids start again in another cluster; the epoch orders old rows before new ones.';
comment on column iu_outbox_epoch.epoch is 'Number, from 1; the largest is the current one.';
comment on column iu_outbox_epoch.system_identifier is 'The cluster whose transaction ids the rows of this epoch carry.';
comment on column iu_outbox_epoch.opened_at is 'When the first event was written there, or a rebase was run.';

create function fn_iu_outbox_epoch()
  returns integer
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the epoch of this cluster; opens the next one where the newest belongs to another cluster (a restore).
-- called by: the outbox's trigger, fn_iu_outbox_rebase.
-- locks: the new row's key, so two writers open one epoch and not two.
-- raises: nothing of its own.
declare
  v_epoch integer;
  v_system_identifier bigint;
begin
  loop
    select e.epoch, e.system_identifier
    into v_epoch, v_system_identifier
    from iu_outbox_epoch as e
    order by e.epoch desc
    limit 1;

    if v_system_identifier = fn_iu_system_identifier() then
      return v_epoch;
    end if;
    insert into iu_outbox_epoch (epoch, system_identifier)
    values (coalesce(v_epoch, 0) + 1, fn_iu_system_identifier())
    on conflict do nothing;
  end loop;
end
$$;
comment on function fn_iu_outbox_epoch() is 'Layer outbox. The current epoch; opens the next one after a restore into another cluster.';

create table event_outbox (
  id uuid not null default fn_iu_uuid_v7(),
  event_domain text collate "C" not null,
  event_type text collate "C" not null,
  event_subject text collate "C",
  subject_ref uuid,
  payload jsonb not null,
  actor text not null,
  subject_seq bigint,
  xact_id xid8 not null default pg_current_xact_id(),
  epoch integer not null default 0,
  created_at timestamptz not null default clock_timestamp(),
  constraint event_outbox_pkey primary key (id),
  constraint epoch_is_positive check (epoch > 0),
  constraint event_domain_is_named check (event_domain ~ '^\S+$'),
  constraint event_type_is_named check (event_type ~ '^\S+$'),
  constraint payload_is_an_object check (jsonb_typeof(payload) = 'object'),
  constraint actor_is_named check (actor ~ '\S')
) partition by range (id);
create table event_outbox_default partition of event_outbox default;
create index event_outbox_in_commit_order on event_outbox (epoch, xact_id, created_at, id);
create index event_outbox_by_subject on event_outbox (event_domain, event_subject, subject_seq)
  where subject_seq is not null;
comment on table event_outbox_default is 'Layer outbox. Events whose id lies in no other partition; nothing is ever refused.';
comment on table event_outbox is
  'Layer outbox. Events, append-only, each written in the transaction that it tells of, through fn_iu_emit_event.';
comment on column event_outbox.id is 'Identity, uuid v7.';
comment on column event_outbox.event_domain is 'Domain, for instance iu.';
comment on column event_outbox.event_type is 'What happened, for instance version_applied.';
comment on column event_outbox.event_subject is 'What it happened to, as people address it.';
comment on column event_outbox.subject_ref is 'Row that the event tells of; for version_applied the unit version.';
comment on column event_outbox.payload is 'The event''s data, an object.';
comment on column event_outbox.actor is 'Who caused it, as claimed by the caller.';
comment on column event_outbox.subject_seq is
  'Place among the events of its subject, gapless from 1; set by the database, null where no route asks for order.';
comment on column event_outbox.xact_id is 'Transaction that wrote it; set by the database. The cursor reads in this order.';
comment on column event_outbox.epoch is 'Epoch of the cluster that wrote it; set by the database.';
comment on column event_outbox.created_at is 'When it was written, not when its transaction began; set by the database.';

create table iu_outbox_subject (
  event_domain text collate "C" not null,
  event_subject text collate "C" not null,
  last_seq bigint not null,
  constraint iu_outbox_subject_pkey primary key (event_domain, event_subject),
  constraint last_seq_is_positive check (last_seq > 0)
) with (fillfactor = 50);
comment on table iu_outbox_subject is
  'Layer outbox. The last number drawn for each subject; its row lock lets the events of one subject commit one after another.';
comment on column iu_outbox_subject.event_domain is 'Domain of the subject.';
comment on column iu_outbox_subject.event_subject is 'The subject.';
comment on column iu_outbox_subject.last_seq is 'The number that its newest event carries.';

create table iu_outbox_ordered_type (
  event_domain text collate "C" not null,
  event_type text collate "C" not null,
  constraint iu_outbox_ordered_type_pkey primary key (event_domain, event_type)
);
comment on table iu_outbox_ordered_type is
  'Layer outbox. Events that some route wants in order; kept by a trigger of the routes, so that no producer touches these.';
comment on column iu_outbox_ordered_type.event_domain is 'Domain of the events.';
comment on column iu_outbox_ordered_type.event_type is 'Type of the events.';

create function fn_iu_outbox_stamp()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: says in which transaction, epoch and moment the event was written, whatever the producer claims; where a route
--       asks for order, draws the next number of the subject first, so that the moment follows the number.
-- called by: trigger trg_iu_outbox_stamp.
-- locks: where a route asks for order, the subject's row until the transaction ends.
-- raises: serialization_failure under REPEATABLE READ beside another writer of the same ordered subject.
begin
  new.subject_seq := null;
  if new.event_subject is not null and exists (
    select
    from iu_outbox_ordered_type
    where iu_outbox_ordered_type.event_domain = new.event_domain
      and iu_outbox_ordered_type.event_type = new.event_type
  ) then
    insert into iu_outbox_subject as subject (event_domain, event_subject, last_seq)
    values (new.event_domain, new.event_subject, 1)
    on conflict (event_domain, event_subject) do update
    set last_seq = subject.last_seq + 1
    returning subject.last_seq into new.subject_seq;
  end if;
  new.xact_id := pg_current_xact_id();
  new.epoch := fn_iu_outbox_epoch();
  new.created_at := clock_timestamp();
  return new;
end
$$;
comment on function fn_iu_outbox_stamp() is 'Layer outbox. Trigger: sets xact_id, epoch, created_at and subject_seq, which no producer may choose.';

create trigger trg_iu_outbox_stamp
  before insert on event_outbox
  for each row execute function fn_iu_outbox_stamp();
create trigger trg_iu_outbox_append_only
  before update or delete on event_outbox
  for each row execute function fn_iu_append_only();
create trigger trg_iu_outbox_no_truncate
  before truncate on event_outbox
  for each statement execute function fn_iu_append_only();
alter table event_outbox enable always trigger trg_iu_outbox_stamp;
alter table event_outbox enable always trigger trg_iu_outbox_append_only;
create trigger trg_iu_outbox_no_truncate
  before truncate on event_outbox_default
  for each statement execute function fn_iu_append_only();
alter table event_outbox enable always trigger trg_iu_outbox_no_truncate;
alter table event_outbox_default enable always trigger trg_iu_outbox_no_truncate;

create table iu_outbound_route (
  route_code text collate "C" primary key,
  event_domain text collate "C" not null,
  event_type text collate "C" not null,
  event_filter jsonpath,
  target_kind text not null,
  target_ref text not null,
  enabled boolean not null default false,
  dry_run boolean not null default true,
  ordered_by_subject boolean not null default false,
  after_dead_letter text not null default 'block',
  config jsonb not null default '{}',
  description text not null default '',
  disabled_by text,
  updated_at timestamptz not null default clock_timestamp(),
  constraint route_code_is_plain check (route_code ~ '^[a-z0-9][a-z0-9_.]*$' and length(route_code) <= 100),
  constraint event_domain_is_named check (event_domain ~ '^\S+$'),
  constraint event_type_is_named check (event_type ~ '^\S+$'),
  constraint target_kind_is_known check (
    target_kind in ('sql_function', 'workflow', 'vector', 'report', 'directus_flow', 'external_endpoint')),
  constraint target_ref_is_named check (target_ref ~ '\S'),
  constraint after_dead_letter_is_known check (after_dead_letter in ('block', 'skip')),
  constraint config_is_an_object check (jsonb_typeof(config) = 'object'),
  constraint an_enabled_route_was_disabled_by_nobody check (not (enabled and disabled_by is not null)),
  constraint iu_outbound_route_safe_chk check (not (enabled and not dry_run))
);
comment on table iu_outbound_route is 'Layer outbox. Where an event goes: each enabled route whose domain, type and filter match gets an attempt.';
comment on column iu_outbound_route.route_code is 'Name; letters, digits, dot and underscore, so that an idempotency key can be taken apart.';
comment on column iu_outbound_route.event_domain is 'Domain of the events it takes.';
comment on column iu_outbound_route.event_type is 'Type of the events it takes.';
comment on column iu_outbound_route.event_filter is
  'Path over the payload; matches when its first item is there and is neither false nor null. Null takes every event.';
comment on column iu_outbound_route.target_kind is 'Kind of the target; one of the six that the delivery seam knows.';
comment on column iu_outbound_route.target_ref is 'The target, in the words of its kind.';
comment on column iu_outbound_route.enabled is 'Whether the worker looks at it at all.';
comment on column iu_outbound_route.dry_run is 'True: an attempt only records what would have happened.';
comment on column iu_outbound_route.ordered_by_subject is 'Whether events of one subject must be delivered in order.';
comment on column iu_outbound_route.after_dead_letter is
  'What an ordered route does behind a dead letter: block holds the subject back until it is replayed or discarded, skip goes on and says so.';
comment on column iu_outbound_route.config is 'Settings of the target; secrets only as references.';
comment on column iu_outbound_route.description is 'What it is for.';
comment on column iu_outbound_route.disabled_by is 'The level of the disable runbook that switched it off, so that its way back finds it.';
comment on column iu_outbound_route.updated_at is 'When it was changed last; set by the database.';
comment on constraint iu_outbound_route_safe_chk on iu_outbound_route is
  'A route is never enabled and live at once. Replaced, under backup, when the delivery seam is built.';

create function fn_iu_stamp_route()
  returns trigger
  language plpgsql
  set search_path from current
as $$
-- does: records when a route was changed; called by: trigger; locks: none; raises: nothing.
begin
  new.updated_at := clock_timestamp();
  return new;
end
$$;
comment on function fn_iu_stamp_route() is 'Layer outbox. Trigger: stamps a route with the time of its change.';
create trigger trg_iu_stamp_route
  before update on iu_outbound_route
  for each row execute function fn_iu_stamp_route();

create function fn_iu_keep_ordered_types()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: keeps the list of events that are numbered by subject in step with the routes that ask for order.
-- called by: trigger on iu_outbound_route; locks: the rows of the list; raises: nothing.
begin
  insert into iu_outbox_ordered_type (event_domain, event_type)
  select distinct iu_outbound_route.event_domain, iu_outbound_route.event_type
  from iu_outbound_route
  where iu_outbound_route.ordered_by_subject
  on conflict do nothing;
  delete from iu_outbox_ordered_type
  where not exists (
    select
    from iu_outbound_route
    where iu_outbound_route.ordered_by_subject
      and iu_outbound_route.event_domain = iu_outbox_ordered_type.event_domain
      and iu_outbound_route.event_type = iu_outbox_ordered_type.event_type
  );
  return null;
end
$$;
comment on function fn_iu_keep_ordered_types() is
  'Layer outbox. Trigger: keeps the list of ordered events in step with the routes.';
create trigger trg_iu_keep_ordered_types
  after insert or update or delete on iu_outbound_route
  for each statement execute function fn_iu_keep_ordered_types();
alter table iu_outbound_route enable always trigger trg_iu_keep_ordered_types;

create trigger trg_iu_note_route_change
  after insert or update or delete on iu_outbound_route
  for each row execute function fn_iu_note_control_change('route', 'route_code', 'updated_at');
alter table iu_outbound_route enable always trigger trg_iu_note_route_change;

create table iu_route_attempt (
  idempotency_key text collate "C" not null,
  attempt_no integer not null,
  event_id uuid not null,
  route_code text collate "C",
  worker_code text collate "C" not null,
  decision text not null,
  status text not null,
  delivered boolean not null default false,
  target_kind text,
  target_ref text,
  failure_code text,
  detail jsonb not null default '{}',
  xact_id xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  constraint iu_route_attempt_is_made_once unique (idempotency_key, attempt_no),
  constraint idempotency_key_begins_with_the_event check (
    idempotency_key = event_id::text || ':' || coalesce(route_code, '-') || ':' || worker_code),
  constraint attempt_no_is_positive check (attempt_no > 0),
  constraint decision_is_known check (
    decision in ('dry_run', 'sent', 'failed', 'skipped', 'blocked', 'no_route')),
  constraint status_is_known check (status in ('dry_run', 'sent', 'failed', 'skipped', 'blocked')),
  constraint status_follows_the_decision check (
    status = case decision when 'no_route' then 'skipped' else decision end),
  constraint delivered_implies_sent check (not delivered or status = 'sent'),
  constraint a_failure_names_its_code check ((status = 'failed') = (failure_code is not null)),
  constraint no_route_names_no_route check (decision <> 'no_route' or route_code is null),
  constraint worker_code_parts_no_key check (strpos(worker_code, ':') = 0),
  constraint detail_is_an_object check (jsonb_typeof(detail) = 'object')
) partition by range (idempotency_key);
create table iu_route_attempt_default partition of iu_route_attempt default;
create index iu_route_attempt_newest on iu_route_attempt using brin (created_at);
create index iu_route_attempt_blocked on iu_route_attempt (idempotency_key) where decision = 'blocked';
comment on table iu_route_attempt_default is 'Layer outbox. Attempts whose event lies in no other partition.';
comment on table iu_route_attempt is
  'Layer outbox. Audit, append-only: what was decided about an event for a route by a worker, one row for each try.';
comment on column iu_route_attempt.idempotency_key is
  'event:route:worker; `-` stands for no route. It begins with the event, which keeps inserts at the right edge of the index.';
comment on column iu_route_attempt.attempt_no is '1 for the first decision; each replay adds 1 under the same key.';
comment on column iu_route_attempt.event_id is 'The event; no foreign key, so that old events can be moved away.';
comment on column iu_route_attempt.route_code is 'The route; null where none matched.';
comment on column iu_route_attempt.worker_code is 'The worker, named by its cursor.';
comment on column iu_route_attempt.decision is
  'dry_run (recorded only), sent, failed, skipped (by the target), blocked (a gate kept it back), no_route (no route matched).';
comment on column iu_route_attempt.status is 'The decision as a delivery status; no_route is skipped.';
comment on column iu_route_attempt.delivered is 'Whether the target has it; only ever true with status sent.';
comment on column iu_route_attempt.target_kind is 'Kind of the target at the time.';
comment on column iu_route_attempt.target_ref is 'The target at the time.';
comment on column iu_route_attempt.failure_code is 'Why it failed; null unless it did.';
comment on column iu_route_attempt.detail is 'More of the outcome: SQLSTATE and message of a failure, the target''s answer.';
comment on column iu_route_attempt.xact_id is 'Transaction that wrote it.';
comment on column iu_route_attempt.created_at is 'When it was written.';

create trigger trg_iu_attempt_append_only
  before update or delete on iu_route_attempt
  for each row execute function fn_iu_append_only();
create trigger trg_iu_attempt_no_truncate
  before truncate on iu_route_attempt
  for each statement execute function fn_iu_append_only();
alter table iu_route_attempt enable always trigger trg_iu_attempt_append_only;
create trigger trg_iu_attempt_no_truncate
  before truncate on iu_route_attempt_default
  for each statement execute function fn_iu_append_only();
alter table iu_route_attempt enable always trigger trg_iu_attempt_no_truncate;
alter table iu_route_attempt_default enable always trigger trg_iu_attempt_no_truncate;

create table iu_outbox_partition (
  upper_at timestamptz primary key,
  event_partition text not null unique,
  attempt_partition text not null unique,
  created_at timestamptz not null default clock_timestamp(),
  retired_at timestamptz,
  events bigint,
  attempts bigint,
  first_decisions jsonb,
  retired_by text,
  retired_because text,
  constraint a_retired_partition_tells_what_it_held check (
    num_nulls(retired_at, events, attempts, first_decisions, retired_by, retired_because) in (0, 6))
);
comment on table iu_outbox_partition is
  'Layer outbox. Partitions of outbox and audit, and what the retired ones held; a row stays when its partition has left.';
comment on column iu_outbox_partition.upper_at is 'The partition holds events with ids from before this moment, down to the partition before it.';
comment on column iu_outbox_partition.event_partition is 'Partition of event_outbox.';
comment on column iu_outbox_partition.attempt_partition is 'Partition of iu_route_attempt with the same bounds.';
comment on column iu_outbox_partition.created_at is 'When it was made.';
comment on column iu_outbox_partition.retired_at is 'When it left; null while it is there.';
comment on column iu_outbox_partition.events is 'Events that left with it.';
comment on column iu_outbox_partition.attempts is 'Attempts that left with it.';
comment on column iu_outbox_partition.first_decisions is 'First decisions that left with it, by worker, route and decision.';
comment on column iu_outbox_partition.retired_by is 'Who asked for it, as claimed.';
comment on column iu_outbox_partition.retired_because is 'Why.';

create function fn_iu_retention_retired_until()
  returns timestamptz
  language sql
  stable
  set search_path from current
as $$
-- does: the moment before which events have left, or -infinity; called by: conservation, verifications, the way back of L3; locks: none.
-- raises: nothing.
select coalesce(max(iu_outbox_partition.upper_at), '-infinity')
from iu_outbox_partition
where iu_outbox_partition.retired_at is not null
$$;
comment on function fn_iu_retention_retired_until() is
  'Layer outbox. The moment before which events have been retired; -infinity where none was.';

insert into iu_outbox_epoch (epoch, system_identifier)
values (1, fn_iu_system_identifier());

insert into iu_outbound_route (
  route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run, description)
values (
  'iu_version_applied', 'iu', 'version_applied', 'workflow', 'iu-core/VersionApplied', true, true,
  'A new version of an information unit; dry run until a target is built.');

alter table iu_outbox_epoch owner to iu_core_owner;
alter table iu_outbox_subject owner to iu_core_owner;
alter table iu_outbox_ordered_type owner to iu_core_owner;
alter table iu_outbox_partition owner to iu_core_owner;
alter table event_outbox owner to iu_core_owner;
alter table event_outbox_default owner to iu_core_owner;
alter table iu_outbound_route owner to iu_core_owner;
alter table iu_route_attempt owner to iu_core_owner;
alter table iu_route_attempt_default owner to iu_core_owner;
alter function fn_iu_uuid_v7() owner to iu_core_owner;
alter function fn_iu_system_identifier() owner to iu_core_owner;
alter function fn_iu_outbox_epoch() owner to iu_core_owner;
alter function fn_iu_outbox_stamp() owner to iu_core_owner;
alter function fn_iu_stamp_route() owner to iu_core_owner;
alter function fn_iu_keep_ordered_types() owner to iu_core_owner;
alter function fn_iu_retention_retired_until() owner to iu_core_owner;

revoke all on table iu_outbox_epoch, iu_outbox_subject, iu_outbox_ordered_type, iu_outbox_partition, iu_outbound_route,
  iu_route_attempt, iu_route_attempt_default, event_outbox, event_outbox_default from public;
revoke all on function fn_iu_uuid_v7() from public;
revoke all on function fn_iu_system_identifier() from public;
revoke all on function fn_iu_outbox_epoch() from public;
revoke all on function fn_iu_outbox_stamp() from public;
revoke all on function fn_iu_stamp_route() from public;
revoke all on function fn_iu_keep_ordered_types() from public;
revoke all on function fn_iu_retention_retired_until() from public;
grant select on table iu_outbox_epoch, iu_outbox_subject, iu_outbox_ordered_type, iu_outbox_partition, event_outbox,
  iu_outbound_route, iu_route_attempt
  to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_system_identifier() to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_retention_retired_until() to iu_core_operator, iu_core_auditor;
