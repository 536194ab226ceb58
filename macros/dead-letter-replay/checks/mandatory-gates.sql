-- does:      tells whether planned replays may be installed here: J1 to J7. It is run after delivery-seam, whatever routes are
--            live and dead letters open by then, and again on a database where they stand already.
-- called by: macro dead-letter-replay, step mandatory-gates.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing where worker or seam is missing: J1 and J2 fail, what asks them is not_run.

do $$
-- Worker and seam may be missing, so they are asked only where they are there; the answers wait in a setting of this
-- transaction.
declare
  v_seen jsonb := '{}';
begin
  if to_regprocedure('fn_iu_conservation()') is not null
    and to_regprocedure('fn_iu_route_seam_fails_closed()') is not null
    and to_regprocedure('fn_iu_system_identifier()') is not null
    and to_regclass('iu_route_worker_cursor') is not null
  then
    v_seen := jsonb_build_object(
      'balanced', fn_iu_conservation() -> 'balanced',
      'fails_closed', fn_iu_route_seam_fails_closed(),
      'cursor', (
        select case when c.system_identifier = fn_iu_system_identifier() then 'at work' else 'of another cluster' end
        from iu_route_worker_cursor as c
        where c.cursor_code = 'iu_outbound_default'
      ));
  end if;
  perform set_config('iu_core.gates_seen', v_seen::text, true);
end
$$;

with
  seen as (
    select current_setting('iu_core.gates_seen')::jsonb as facts
  ),
  of_letters (name, stands) as (
    select wanted.name, to_regprocedure(wanted.name) is not null
    from (
      values
        ('fn_iu_route_dead_letter_replay(uuid,text,text)'),
        ('fn_iu_dead_letter_change(uuid[],text,text,text)')
    ) as wanted (name)
    union all
    select
      'iu_route_dead_letter.' || wanted.name,
      exists (
        select
        from pg_attribute as a
        where a.attrelid = to_regclass('iu_route_dead_letter')
          and a.attname = wanted.name
          and not a.attisdropped
      )
    from (values ('first_failure'), ('last_failed_at')) as wanted (name)
  ),
  of_seam (name, fault) as (
    select
      wanted.name,
      case
        when p.oid is null then 'missing'
        when p.proowner <> to_regrole('iu_core_owner')::oid then 'not owned by iu_core_owner'
        when not coalesce(p.proconfig, '{}') @> array['search_path=' || quote_ident(current_schema()) || ', pg_temp']
          then 'search path not pinned'
        when has_function_privilege('public', p.oid, 'execute') then 'PUBLIC may execute it'
        when (p.prosrc ~ wanted.does) is not true then 'of an older installation'
      end
    from (
      values
        ('fn_iu_route_deliver(text,uuid,jsonb)', 'fn_iu_delivery_call'),
        ('fn_iu_delivery_call(text,uuid,jsonb)', ''),
        ('fn_iu_route_breaker_admit(text,integer,integer)', ''),
        ('fn_iu_route_delivery_claim(text,integer,integer,uuid,text)', ''),
        -- The tries of a planned replay are counted by its plan.
        ('fn_iu_route_delivery_settle(text,uuid,jsonb)', 'detail \? ''plan'''),
        ('fn_iu_route_delivery_recall(text,integer,text,text)', '')
    ) as wanted (name, does)
    left join pg_proc as p on p.oid = to_regprocedure(wanted.name)
  ),
  guard as (
    select
      (
        select count(*)
        from pg_constraint as k
        where k.conrelid = to_regclass('iu_outbound_route')
          and k.conname = 'iu_outbound_route_safe_chk'
      ) as checks,
      (
        select count(*)
        from pg_trigger as t
        where t.tgrelid = to_regclass('iu_outbound_route')
          and t.tgname = 'trg_iu_outbound_route_safe_guard'
          and t.tgenabled = 'A'
      ) as triggers
  ),
  part (name, is_own) as (
    select c.relname::text, c.relowner is not distinct from to_regrole('iu_core_owner')::oid
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
      and c.relname in (
        'iu_replay_plan', 'iu_replay_progress', 'iu_replay_run', 'iu_replay_letter', 'iu_replay_story', 'iu_replay_policy')
    union all
    select p.oid::regprocedure::text, p.proowner is not distinct from to_regrole('iu_core_owner')::oid
    from pg_proc as p
    where p.pronamespace = to_regnamespace(quote_ident(current_schema()))
      and starts_with(p.proname, 'fn_iu_replay_')
  ),
  built as (
    select
      count(*) as parts,
      count(*) filter (where not part.is_own) as foreign_parts,
      count(*) filter (where part.name like 'iu_replay_%') as tables,
      (
        select count(*)
        from (
          values
            ('fn_iu_replay_plan(jsonb,jsonb,text,text)'),
            ('fn_iu_replay_open(text,jsonb,text,text)'),
            ('fn_iu_replay_step(text,text,text,integer,integer)'),
            ('fn_iu_replay_steer(text,text,text,jsonb,text,text)'),
            ('fn_iu_replay_report(text)'),
            ('fn_iu_replay_plan_by_policy(text,text,text)')
        ) as wanted (name)
        where to_regprocedure(wanted.name) is not null
      ) as functions
    from part
  ),
  judged (check_id, needs_worker, passes, detail) as (
    select
      'J1 dead letters',
      false,
      bool_and(of_letters.stands),
      coalesce('missing: ' || string_agg(of_letters.name, ', ' order by of_letters.name) filter (where not of_letters.stands)
          || '; run macro event-worker of this release first',
        'store, states and the replay of one letter stand')
    from of_letters
    union all
    select
      'J2 seam built',
      false,
      count(of_seam.fault) = 0,
      coalesce(string_agg(of_seam.name || ': ' || of_seam.fault, '; ' order by of_seam.name)
          filter (where of_seam.fault is not null) || '; run macro delivery-seam of this release first',
        count(*) || ' functions stand, path pinned, closed to PUBLIC')
    from of_seam
    union all
    select
      'J3 seam holds',
      true,
      guard.checks = 0 and guard.triggers = 1 and seen.facts ->> 'fails_closed' = 'true',
      format('CHECK iu_outbound_route_safe_chk: %s; trigger trg_iu_outbound_route_safe_guard: %s; called for nothing the '
        || 'seam refuses: %s', guard.checks, guard.triggers, seen.facts ->> 'fails_closed')
    from seen
    cross join guard
    union all
    select
      'J4 nothing foreign, nothing half built',
      false,
      built.foreign_parts = 0 and (built.parts = 0 or built.tables = 6 and built.functions = 6),
      format('tables iu_replay_*: %s of 6; functions that plan, open, step, steer, report and go by policy: %s of 6; not of '
        || 'iu_core_owner: %s (a run that ended half-way is taken back by sluice macro rollback)',
        built.tables, built.functions, built.foreign_parts)
    from built
    union all
    select
      'J5 cursor',
      true,
      seen.facts ->> 'cursor' = 'at work',
      format('iu_outbound_default: %s', coalesce(seen.facts ->> 'cursor', 'not registered'))
    from seen
    union all
    select
      'J6 conservation',
      true,
      seen.facts ->> 'balanced' = 'true',
      format('balanced: %s', seen.facts ->> 'balanced')
    from seen
    union all
    select
      'J7 server and rights',
      false,
      current_setting('server_version_num')::integer >= 150000
        and not pg_is_in_recovery()
        and has_schema_privilege(current_schema(), 'create')
        and coalesce(pg_has_role(current_user, to_regrole('iu_core_owner'), 'usage'), false)
        and coalesce(has_database_privilege(to_regrole('iu_core_owner'), current_database(), 'temporary'), false)
        and coalesce((select rolsuper or rolcreaterole from pg_roles where rolname = current_user), false),
      format('PostgreSQL %s (15 or newer), standby: %s; %s may create in %s: %s, act as iu_core_owner: %s, make the role '
        || 'that owns the probe''s function: %s; iu_core_owner may use temporary objects: %s',
        current_setting('server_version'), pg_is_in_recovery()::text, current_user, current_schema(),
        has_schema_privilege(current_schema(), 'create')::text,
        coalesce(pg_has_role(current_user, to_regrole('iu_core_owner'), 'usage')::text, 'no such role'),
        (select rolsuper or rolcreaterole from pg_roles where rolname = current_user)::text,
        coalesce(has_database_privilege(to_regrole('iu_core_owner'), current_database(), 'temporary')::text, 'no such role'))
  )
select
  judged.check_id,
  case
    when seen.facts = '{}' and judged.needs_worker then 'not_run'
    when judged.passes then 'pass'
    else 'fail'
  end as verdict,
  coalesce(judged.detail, 'the worker is missing') as detail
from judged
cross join seen
order by judged.check_id;
