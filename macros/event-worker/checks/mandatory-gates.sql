-- does:      tells whether the worker may be installed here: G1 to G8.
-- called by: macro event-worker, step mandatory-gates.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing; what is missing is a failing check.

do $$
-- Tables may be missing or closed to this user, so each is read only where it can be; the answers wait in a setting of
-- this transaction, and what could not be read fails below.
declare
  v_seen jsonb := '{}';
begin
  if to_regclass('dot_config') is not null then
    v_seen := v_seen || jsonb_build_object(
      'config', (select coalesce(jsonb_object_agg(dot_config.key, dot_config.value), '{}') from dot_config));
  end if;
  if to_regclass('iu_outbound_route') is not null then
    v_seen := v_seen || (
      select jsonb_build_object(
        'live', count(*) filter (where r.enabled and not r.dry_run),
        'default_route', coalesce(
          bool_or(r.enabled and r.dry_run) filter (where r.event_domain = 'iu' and r.event_type = 'version_applied'), false))
      from iu_outbound_route as r
    );
  end if;
  if to_regclass('iu_route_dead_letter') is not null then
    v_seen := v_seen || jsonb_build_object(
      'open_dead_letters', (select count(*) from iu_route_dead_letter as l where l.state = 'open'));
  end if;
  perform set_config('iu_core.gates_seen', v_seen::text, true);
exception
  when insufficient_privilege then
    perform set_config('iu_core.gates_seen', '{}', true);
end
$$;

with
  wanted (name) as (
    values ('dot_config'), ('iu_outbox_epoch'), ('event_outbox'), ('iu_outbound_route'), ('iu_route_attempt')
  )
select
  'G1 base installed' as check_id,
  case when count(*) = count(to_regclass(wanted.name)) then 'pass' else 'fail' end as verdict,
  coalesce('missing, run macro iu-core-base first: '
      || string_agg(wanted.name, ', ') filter (where to_regclass(wanted.name) is null),
    'outbox, routes, audit and configuration stand') as detail
from wanted;

select
  'G2 governed emitter' as check_id,
  case when p.prosecdef and not has_function_privilege('public', p.oid, 'execute') then 'pass' else 'fail' end as verdict,
  case
    when p.oid is null then 'fn_iu_emit_event is missing'
    when not p.prosecdef then 'fn_iu_emit_event does not run with its owner''s rights'
    when has_function_privilege('public', p.oid, 'execute') then 'PUBLIC may execute fn_iu_emit_event'
    else 'fn_iu_emit_event runs with its owner''s rights and is closed to PUBLIC'
  end as detail
from (values (1)) as once
left join pg_proc as p on p.oid = to_regprocedure('fn_iu_emit_event(text,text,text,uuid,jsonb,text)');

with
  seen as (
    select current_setting('iu_core.gates_seen')::jsonb as facts
  ),
  guard as (
    select count(*) as guards
    from (
      select
      from pg_constraint as k
      where k.conrelid = to_regclass('iu_outbound_route')
        and k.conname = 'iu_outbound_route_safe_chk'
        and k.convalidated
      union all
      select
      from pg_trigger as t
      where t.tgrelid = to_regclass('iu_outbound_route')
        and t.tgname = 'trg_iu_outbound_route_safe_guard'
        and t.tgenabled = 'A'
    ) as one
  )
select
  'G3 master gate' as check_id,
  case when seen.facts #>> '{config,iu_core.outbound_enabled}' = 'true' then 'pass' else 'fail' end as verdict,
  format('iu_core.outbound_enabled is %s; true was expected',
    coalesce(quote_literal(seen.facts #>> '{config,iu_core.outbound_enabled}'), 'missing')) as detail
from seen
union all
select
  'G4 no live route is possible',
  case when guard.guards = 1 and seen.facts ->> 'live' = '0' then 'pass' else 'fail' end,
  format('guards of the routes: %s; routes enabled and live: %s', guard.guards, coalesce(seen.facts ->> 'live', 'no table'))
from seen
cross join guard
union all
select
  'G5 default route',
  case when seen.facts ->> 'default_route' = 'true' then 'pass' else 'fail' end,
  'a route for version_applied must be enabled, in dry run'
from seen;

with
  guarded (relation, trigger_name) as (
    values
      ('event_outbox', 'trg_iu_outbox_stamp'),
      ('event_outbox', 'trg_iu_outbox_append_only'),
      ('event_outbox', 'trg_iu_outbox_no_truncate'),
      ('iu_route_attempt', 'trg_iu_attempt_append_only'),
      ('iu_route_attempt', 'trg_iu_attempt_no_truncate')
  )
select
  'G6 append-only' as check_id,
  case when count(*) = count(t.oid) filter (where t.tgenabled = 'A') then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not ENABLE ALWAYS: ' || string_agg(guarded.trigger_name, ', ') filter (where t.tgenabled is distinct from 'A'),
    'outbox and audit refuse every change, for every session') as detail
from guarded
left join pg_trigger as t on t.tgrelid = to_regclass(guarded.relation)
  and t.tgname = guarded.trigger_name;

select
  'G7 server and rights' as check_id,
  case
    when current_setting('server_version_num')::integer < 150000 then 'fail'
    when pg_is_in_recovery() then 'fail'
    when not has_schema_privilege(current_schema(), 'create') then 'fail'
    when to_regrole('iu_core_owner') is null or not pg_has_role(current_user, to_regrole('iu_core_owner'), 'usage') then 'fail'
    else 'pass'
  end as verdict,
  format('PostgreSQL %s (15 or newer), standby: %s, %s may create in %s: %s, may act as iu_core_owner: %s',
    current_setting('server_version'), pg_is_in_recovery()::text, current_user, current_schema(),
    has_schema_privilege(current_schema(), 'create')::text,
    coalesce(pg_has_role(current_user, to_regrole('iu_core_owner'), 'usage')::text, 'no such role')) as detail;

with
  seen as (
    select current_setting('iu_core.gates_seen')::jsonb as facts
  ),
  parts as (
    select
      to_regclass('iu_route_worker_cursor') is not null as substrate,
      to_regprocedure('fn_iu_route_worker_run(text,integer)') is not null as functions
  )
select
  'G8 nothing half done, nothing delivering' as check_id,
  case
    when parts.functions and not parts.substrate then 'fail'
    when seen.facts #>> '{config,iu_core.delivery_enabled}' = 'true' then 'fail'
    when coalesce(seen.facts ->> 'open_dead_letters', '0') <> '0' then 'fail'
    else 'pass'
  end as verdict,
  format('cursors installed: %s, functions installed: %s, delivery gate: %s, open dead letters: %s',
    parts.substrate::text, parts.functions::text,
    coalesce(seen.facts #>> '{config,iu_core.delivery_enabled}', 'none, closed'),
    coalesce(seen.facts ->> 'open_dead_letters', 'none')) as detail
from seen
cross join parts;
