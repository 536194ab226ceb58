-- does:      the words of the specs: they print labels and numbers that are the same in every run, instead of
--            identities and times.
-- called by: the runner, once in each database that a spec runs on.
-- locks:     creates only.
-- raises:    nothing.

create schema race;

create table race.permutation (
  began_at timestamptz not null
);
comment on table race.permutation is 'One row: when the present permutation began. What is older is of an earlier one.';

create function race.emit(p_label text, p_subject text default null)
  returns text
  language sql
  volatile
as $$
-- does: writes one event that route iu_version_applied takes; its label is printed, and is its subject where none is named.
select p_label
from fn_iu_emit_event(
  'iu', 'version_applied', coalesce(p_subject, p_label), null, jsonb_build_object('label', p_label), 'a race')
$$;

create procedure race.emit_each(variadic p_labels text[])
  language sql
as $$
-- does: writes one event for each label, in this order, in one transaction.
select race.emit(listed.label)
from unnest(p_labels) with ordinality as listed (label, place)
order by listed.place
$$;

create procedure race.emit_for(p_subject text, variadic p_labels text[])
  language sql
as $$
-- does: writes one event of one subject for each label, in this order, in one transaction.
select race.emit(listed.label, p_subject)
from unnest(p_labels) with ordinality as listed (label, place)
order by listed.place
$$;

create procedure race.start()
  language plpgsql
as $$
-- does: lets a permutation begin: gates open but that of deliveries, the route as installed, nothing left to claim,
--       nothing queued.
declare
  v_cursor_code text;
begin
  update dot_config
  set value = case dot_config.key
    when 'iu_core.delivery_enabled' then 'false'
    when 'iu_core.delivery_live_routes' then ''
    else 'true'
  end
  where dot_config.key in (
    'iu_core.outbound_enabled', 'iu_core.route_worker_enabled', 'iu_core.delivery_enabled', 'iu_core.delivery_live_routes');
  update iu_outbound_route
  set
    event_filter = null,
    dry_run = true,
    ordered_by_subject = false,
    target_kind = 'workflow',
    target_ref = 'iu-version-applied'
  where iu_outbound_route.route_code = 'iu_version_applied';
  update iu_route_lease
  set leased_until = '-infinity';
  perform fn_iu_route_delivery_recall('iu_version_applied', 1000, 'a race', 'the next permutation');
  delete from iu_route_breaker;
  for v_cursor_code in
    select iu_route_worker_cursor.cursor_code
    from iu_route_worker_cursor
  loop
    while (fn_iu_route_worker_run(v_cursor_code, 1000) ->> 'seen')::integer > 0 loop
      null;
    end loop;
  end loop;
  delete from race.permutation;
  insert into race.permutation (began_at)
  values (clock_timestamp());
end
$$;

create procedure race.poison()
  language sql
as $$
-- does: lets every event that is routed from here on raise.
update iu_outbound_route
set event_filter = 'strict $.not_there'
where iu_outbound_route.route_code = 'iu_version_applied'
$$;

create procedure race.block()
  language plpgsql
as $$
-- does: makes the route live behind a closed delivery gate: what is routed from here on is blocked.
begin
  update dot_config
  set value = 'iu_version_applied'
  where dot_config.key = 'iu_core.delivery_live_routes';
  update iu_outbound_route
  set dry_run = false
  where iu_outbound_route.route_code = 'iu_version_applied';
end
$$;

create procedure race.run_and_cure()
  language plpgsql
as $$
-- does: lets what was poisoned or blocked be recorded as such, then takes the cause away.
begin
  perform fn_iu_route_worker_run('iu_outbound_default', 100);
  update iu_outbound_route
  set
    event_filter = null,
    dry_run = true
  where iu_outbound_route.route_code = 'iu_version_applied';
end
$$;

create function race.run(p_limit integer default 100, p_cursor_code text default 'iu_outbound_default')
  returns table (status text, seen integer, attempts integer, up_to text)
  language plpgsql
  volatile
as $$
-- does: one run; `up_to` is the label of the last event it claimed, in the order of claims.
declare
  v_run constant jsonb := fn_iu_route_worker_run(p_cursor_code, p_limit);
begin
  return query
  select
    v_run ->> 'status',
    (v_run ->> 'seen')::integer,
    (v_run ->> 'attempts_written')::integer,
    case
      when v_run ->> 'seen' <> '0' then (
        select event_outbox.payload ->> 'label'
        from event_outbox
        where event_outbox.id = (v_run ->> 'cursor_event_id')::uuid
      )
    end;
end
$$;

create function race.replay()
  returns table (status text, decision text, attempt_no integer)
  language plpgsql
  volatile
as $$
-- does: replays the one dead letter of this permutation.
declare
  v_replay constant jsonb := fn_iu_route_dead_letter_replay(
    (
      select iu_route_dead_letter.dead_letter_id
      from iu_route_dead_letter
      join race.permutation on iu_route_dead_letter.created_at >= permutation.began_at
    ),
    'an operator',
    'a race');
begin
  return query
  select v_replay ->> 'status', v_replay ->> 'decision', (v_replay ->> 'attempt_no')::integer;
end
$$;

create function race.release()
  returns table (status text, released integer, still_blocked integer)
  language plpgsql
  volatile
as $$
-- does: one release of blocked events.
declare
  v_release constant jsonb := fn_iu_route_blocked_release('iu_outbound_default', 100, 'an operator', 'a race');
begin
  return query
  select v_release ->> 'status', (v_release ->> 'released')::integer, (v_release ->> 'still_blocked')::integer;
end
$$;

create procedure race.reset()
  language sql
as $$
-- does: puts the cursor before the first event, as an operator does who wants everything seen again.
update iu_route_worker_cursor
set
  cursor_epoch = null,
  cursor_xact_id = null,
  cursor_created_at = null,
  cursor_event_id = null
where iu_route_worker_cursor.cursor_code = 'iu_outbound_default'
$$;

create view race.attempts as
-- The attempts of this permutation.
select
  iu_route_attempt.worker_code as worker,
  event_outbox.payload ->> 'label' as event,
  iu_route_attempt.attempt_no,
  iu_route_attempt.decision
from iu_route_attempt
join event_outbox on event_outbox.id = iu_route_attempt.event_id
join race.permutation on iu_route_attempt.created_at >= permutation.began_at
order by worker, event, iu_route_attempt.attempt_no;

create view race.letters as
-- The dead letters of this permutation.
select
  iu_route_dead_letter.event #>> '{payload,label}' as event,
  iu_route_dead_letter.state,
  iu_route_dead_letter.replay_count
from iu_route_dead_letter
join race.permutation on iu_route_dead_letter.created_at >= permutation.began_at;

create view race.mark as
-- What health says of the high-water mark: events that wait above it and who holds it back.
select
  (health.answer ->> 'backlog')::integer as backlog,
  (health.answer #>> '{high_water_mark,unsettled}')::integer as unsettled,
  health.answer #>> '{high_water_mark,blocker,kind}' as held_by,
  coalesce(
    health.answer #>> '{high_water_mark,blocker,gid}',
    health.answer #>> '{high_water_mark,blocker,application}') as name,
  health.answer #>> '{high_water_mark,blocker,state}' as state
from (select fn_iu_route_worker_health() as answer offset 0) as health;

create view race.proof as
-- Whether everything committed is accounted for.
select
  fn_iu_conservation() ->> 'balanced' as balanced,
  (select count(*) from v_iu_event_backlog) as left_behind;

create procedure race.order()
  language sql
as $$
-- does: lets the route ask for the order of each subject.
update iu_outbound_route
set ordered_by_subject = true
where iu_outbound_route.route_code = 'iu_version_applied'
$$;

create function race.step()
  returns table (event text, attempts integer)
  language plpgsql
  volatile
as $$
-- does: one event of a run in single steps: asks for the next, decides about it, moves past it.
declare
  v_event_id constant uuid := fn_iu_route_worker_next('iu_outbound_default') ->> 'event_id';
  v_attempts integer;
begin
  v_attempts := fn_iu_route_worker_step('iu_outbound_default', v_event_id, null);
  perform fn_iu_route_worker_advance('iu_outbound_default', v_event_id);
  return query
  select event_outbox.payload ->> 'label', v_attempts
  from event_outbox
  where event_outbox.id = v_event_id;
end
$$;

create view race.places as
-- The events of this permutation in the order of their subjects, whose numbers go on from the permutation before.
select
  event_outbox.event_subject as subject,
  event_outbox.subject_seq - (
    select coalesce(max(earlier.subject_seq), 0)
    from event_outbox as earlier
    where earlier.event_subject = event_outbox.event_subject
      and earlier.created_at < permutation.began_at
  ) as place,
  event_outbox.payload ->> 'label' as event
from event_outbox
join race.permutation on event_outbox.created_at >= permutation.began_at
order by event_outbox.event_subject, event_outbox.subject_seq;

create view race.held as
-- What is held back for the sake of order.
select event_outbox.payload ->> 'label' as held
from iu_route_held
join event_outbox on event_outbox.id = iu_route_held.event_id
order by iu_route_held.event_subject, iu_route_held.subject_seq;

create procedure race.old_partition()
  language plpgsql
as $$
-- does: makes the partition of a day long ago, with the owner that it always has, and lets retention have it.
begin
  update dot_config
  set value = 'true'
  where dot_config.key = 'iu_core.retention_enabled';
  set local role iu_core_owner;
  perform fn_iu_retention_attach('2020-01-02 00:00+00', '2020-01-01 00:00+00');
  reset role;
end
$$;

create procedure race.emit_long_ago(p_label text)
  language sql
as $$
-- does: writes one event with an identity of that day, as a transaction has that was open ever since.
insert into event_outbox (id, event_domain, event_type, event_subject, payload, actor)
values (
  fn_iu_uuid_v7_at('2020-01-01 12:00+00'), 'iu', 'version_applied', p_label,
  jsonb_build_object('label', p_label), 'a race')
$$;

create procedure race.deliver()
  language plpgsql
as $$
-- does: makes the route live behind an open delivery gate: what is routed from here on is queued.
begin
  update dot_config
  set value = 'true'
  where dot_config.key = 'iu_core.delivery_enabled';
  call race.block();
end
$$;

create procedure race.beside()
  language sql
as $$
-- does: registers a second worker.
insert into iu_route_worker_cursor (cursor_code)
values ('beside')
on conflict do nothing
$$;

create procedure race.queue_each(variadic p_labels text[])
  language plpgsql
as $$
-- does: makes the route live and queues one event for each label.
begin
  call race.deliver();
  call race.emit_each(variadic p_labels);
end
$$;

create function race.claim(p_limit integer default 100)
  returns table (event text, tries integer)
  language plpgsql
  volatile
as $$
-- does: one claim of deliveries, whose lease the session keeps in mind.
declare
  v_token constant uuid := gen_random_uuid();
  v_event_ids uuid[];
begin
  select coalesce(array_agg(claimed.event_id), '{}')
  into v_event_ids
  from fn_iu_route_delivery_claim(
    'iu_version_applied', p_limit, 60000, v_token, current_setting('application_name')) as claimed;
  perform
    set_config('race.token', v_token::text, false),
    set_config('race.event_ids', v_event_ids::text, false);
  return query
  select event_outbox.payload ->> 'label', iu_route_delivery.tries
  from iu_route_delivery
  join event_outbox on event_outbox.id = iu_route_delivery.event_id
  where iu_route_delivery.event_id = any (v_event_ids)
  order by event_outbox.id;
end
$$;

create function race.settle(p_status text default 'sent')
  returns table (settled integer, refused integer, breaker text)
  language plpgsql
  volatile
as $$
-- does: settles what the session claimed last, all in one way.
declare
  v_answer constant jsonb := fn_iu_route_delivery_settle(
    'iu_version_applied',
    current_setting('race.token')::uuid,
    (
      select jsonb_agg(jsonb_build_object(
        'event_id', claimed.event_id,
        'status', p_status,
        'delivered', p_status = 'sent',
        'retry_ms', case when p_status = 'failed' then 0 end))
      from unnest(current_setting('race.event_ids')::uuid[]) as claimed (event_id)
    ));
begin
  return query
  select (v_answer ->> 'settled')::integer, (v_answer ->> 'refused')::integer, v_answer ->> 'breaker';
end
$$;

create view race.queue as
-- What is queued, and whose lease holds it.
select
  event_outbox.payload ->> 'label' as event,
  iu_route_delivery.worker_code as worker,
  iu_route_delivery.attempt_no,
  iu_route_lease.leased_by
from iu_route_delivery
join event_outbox on event_outbox.id = iu_route_delivery.event_id
left join iu_route_lease
  on iu_route_lease.lease_token = iu_route_delivery.lease_token
  and iu_route_lease.leased_until > clock_timestamp()
order by event_outbox.id;

create procedure race.end_leases()
  language sql
as $$
-- does: lets every lease be over.
update iu_route_lease
set leased_until = '-infinity'
$$;

create procedure race.open_breaker()
  language sql
as $$
-- does: opens the breaker of the route; its probe may go now.
insert into iu_route_breaker (route_code, state, wait_seconds, opened_at, probe_at)
values ('iu_version_applied', 'open', 30, clock_timestamp(), clock_timestamp())
$$;

create procedure race.look_slowly()
  language sql
as $$
-- does: lets each session that looks for the leases that are held wait after it has looked, as long as somebody stops it
--       (race.stop).
create or replace function fn_iu_route_leases_held(p_route_code text)
  returns uuid[]
  language plpgsql
  volatile
  set search_path = public, pg_temp
as $look$
declare
  v_held constant uuid[] := (
    select coalesce(array_agg(iu_route_lease.lease_token), '{}')
    from iu_route_lease
    where iu_route_lease.leased_until > clock_timestamp()
  );
begin
  perform pg_advisory_xact_lock_shared(hashtext(current_setting('application_name')));
  return v_held;
end
$look$;
$$;

create function race.stop(p_session text)
  returns text
  language sql
  volatile
as $$
-- does: stops a session where it looks slowly, until race.go.
select p_session
from pg_advisory_lock(hashtext('race/' || p_session))
$$;

create function race.go(p_session text)
  returns text
  language sql
  volatile
as $$
-- does: lets a session go on that race.stop stopped.
select p_session
where pg_advisory_unlock(hashtext('race/' || p_session))
$$;

do $$
begin
  create role race_application nologin;
exception
  when duplicate_object then
    null;
end
$$;
create schema race_application authorization race_application;
grant usage on schema race_application to iu_core_owner;

create table race_application.effect (
  effect_no bigserial primary key,
  event text not null,
  happened_at timestamptz not null default clock_timestamp()
);
comment on table race_application.effect is 'What the function of a sql_function route has done.';
alter table race_application.effect owner to race_application;

create function race_application.take(request jsonb)
  returns jsonb
  language sql
  security definer
  set search_path = race_application, pg_temp
as $$
-- does: the target of a sql_function route: writes an effect, and answers null for sent.
insert into race_application.effect (event)
values (request #>> '{safe_payload,label}')
returning null::jsonb
$$;
alter function race_application.take(jsonb) owner to race_application;

create procedure race.call_each(variadic p_labels text[])
  language plpgsql
as $$
-- does: makes the route live with a function as its target, and writes one event for each label.
begin
  update dot_config
  set value = 'race_application.take'
  where dot_config.key = 'iu_core.delivery_functions';
  update iu_outbound_route
  set
    target_kind = 'sql_function',
    target_ref = 'race_application.take'
  where iu_outbound_route.route_code = 'iu_version_applied';
  call race.queue_each(variadic p_labels);
end
$$;

create view race.effects as
-- The effects of this permutation.
select effect.event, count(*) as times
from race_application.effect
join race.permutation on effect.happened_at >= permutation.began_at
group by effect.event
order by effect.event;

create table race.plan (
  name text primary key,
  plan_hash text not null
);
comment on table race.plan is 'The plans of this permutation by the names that specs call them.';

create procedure race.bury(variadic p_labels text[])
  language plpgsql
as $$
-- does: ends what the permutation before has left open, and lets events be written whose routing raises; race.run_and_cure
--       makes dead letters of them.
declare
  v_run record;
begin
  for v_run in
    select iu_replay_run.plan_hash, iu_replay_run.run_id
    from iu_replay_run
    where iu_replay_run.ended_at is null
  loop
    perform fn_iu_replay_abandon(v_run.plan_hash, v_run.run_id, 'the next permutation');
  end loop;
  delete from race.plan;
  call race.poison();
  call race.emit_each(variadic p_labels);
end
$$;

create procedure race.plan(p_name text, variadic p_labels text[])
  language plpgsql
as $$
-- does: plans the replay of the dead letters of some events, each with one try.
declare
  v_ids constant jsonb := (
    select jsonb_agg(iu_route_dead_letter.dead_letter_id)
    from iu_route_dead_letter
    join race.permutation on iu_route_dead_letter.created_at >= permutation.began_at
    where iu_route_dead_letter.event #>> '{payload,label}' = any (p_labels)
  );
begin
  insert into race.plan (name, plan_hash)
  select p_name, fn_iu_replay_plan(
    jsonb_build_object('ids', v_ids, 'includeDryRun', true), '{"canary": 0, "ratePerSecond": null}', 'a planner', 'a race')
    ->> 'planHash';
end
$$;

create function race.hash(p_name text)
  returns text
  language sql
  stable
as $$
-- does: the hash of a plan by its name.
select plan.plan_hash
from race.plan
where plan.name = p_name
$$;

create function race.begin_replay(p_name text)
  returns text
  language plpgsql
  volatile
as $$
-- does: opens a run of a plan for this session; answers its state, or how it is refused.
declare
  v_detail text;
begin
  return fn_iu_replay_open(
    race.hash(p_name),
    jsonb_build_object(
      'workflowId', 'race', 'runId', current_setting('application_name'), 'temporalNamespace', 'race',
      'temporalAddress', 'race', 'temporalClusterId', 'race'),
    'a runner', 'a race') #>> '{progress,state}';
exception
  when sqlstate 'SL010' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb ->> 'code';
end
$$;

create function race.step_on(p_name text, p_limit integer default 100, p_run_of text default 'worker')
  returns table (status text, taken integer, resolved integer, skipped integer, in_flight integer, waiting integer)
  language sql
  volatile
as $$
-- does: one step of a plan, whose run a session has opened.
select
  step.answer ->> 'status',
  (step.answer ->> 'taken')::integer,
  (step.answer #>> '{progress,resolved}')::integer,
  (step.answer #>> '{progress,skipped}')::integer,
  (step.answer #>> '{progress,inFlight}')::integer,
  (step.answer #>> '{progress,waiting}')::integer
from (
  select fn_iu_replay_step(race.hash(p_name), 'race/' || p_run_of, 'end', p_limit, 100) as answer
  offset 0
) as step
$$;

create function race.steer(p_name text, p_what text, p_run_of text default 'worker')
  returns text
  language sql
  volatile
as $$
-- does: steers the run of a plan that a session has opened.
select p_what
from fn_iu_replay_steer(race.hash(p_name), 'race/' || p_run_of, p_what, null, 'an operator', 'a race')
$$;

create function race.end_replay(p_name text, p_outcome text, p_run_of text default 'worker')
  returns text
  language sql
  volatile
as $$
-- does: ends the run of a plan that a session has opened; answers the plan's state.
select fn_iu_replay_close(race.hash(p_name), 'race/' || p_run_of, p_outcome, 'a race') ->> 'state'
$$;

create function race.change(p_label text, p_state text)
  returns text
  language plpgsql
  volatile
as $$
-- does: parks or discards the dead letter of an event; answers its state, or how that is refused.
declare
  v_detail text;
begin
  perform fn_iu_dead_letter_change(
    array(
      select iu_route_dead_letter.dead_letter_id
      from iu_route_dead_letter
      join race.permutation on iu_route_dead_letter.created_at >= permutation.began_at
      where iu_route_dead_letter.event #>> '{payload,label}' = p_label
    ),
    p_state, 'an operator', 'a race');
  return p_state;
exception
  when sqlstate 'SL010' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return v_detail::jsonb ->> 'code';
end
$$;

create function race.replay_of(p_label text)
  returns table (status text, decision text)
  language sql
  volatile
as $$
-- does: replays the dead letter of an event, singly.
select replay.answer ->> 'status', replay.answer ->> 'decision'
from (
  select fn_iu_route_dead_letter_replay(iu_route_dead_letter.dead_letter_id, 'an operator', 'a race') as answer
  from iu_route_dead_letter
  join race.permutation on iu_route_dead_letter.created_at >= permutation.began_at
  where iu_route_dead_letter.event #>> '{payload,label}' = p_label
  offset 0
) as replay
$$;

create view race.planned as
-- The letters of the plans of this permutation by place.
select
  plan.name as plan,
  iu_replay_letter.place,
  iu_route_dead_letter.event #>> '{payload,label}' as event,
  iu_replay_letter.state,
  iu_replay_letter.because
from race.plan
join iu_replay_letter on iu_replay_letter.plan_hash = plan.plan_hash
join iu_route_dead_letter on iu_route_dead_letter.dead_letter_id = iu_replay_letter.dead_letter_id
order by plan.name, iu_replay_letter.place;

create procedure race.make_due()
  language sql
as $$
-- does: lets every repeat be due now.
update iu_replay_letter
set due_at = clock_timestamp()
where iu_replay_letter.due_at is not null
$$;
