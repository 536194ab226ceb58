-- does:      tells whether the delivery seam may be built here: S1 to S9. It is run after worker-live-dry-run, and again on a
--            database where the seam stands already.
-- called by: macro delivery-seam, step mandatory-gates.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing where the worker is missing: S1 fails, what asks it is not_run.

do $$
-- The worker may be missing, so it is asked only where it is there; the answers wait in a setting of this transaction.
declare
  v_seen jsonb := '{}';
begin
  if to_regprocedure('fn_iu_route_worker_health()') is not null
    and to_regprocedure('fn_iu_conservation()') is not null
    and to_regclass('iu_outbound_route') is not null
    and to_regclass('iu_route_delivery') is not null
    and to_regclass('iu_route_lease') is not null
    and exists (
      select
      from pg_attribute as a
      where a.attrelid = to_regclass('iu_route_worker_cursor')
        and a.attname = 'paused_because'
        and not a.attisdropped
    )
  then
    v_seen := jsonb_build_object(
      'health', fn_iu_route_worker_health(),
      'balanced', fn_iu_conservation() -> 'balanced',
      'settings', (
        select jsonb_object_agg(dot_config.key, dot_config.value)
        from dot_config
      ),
      'live', (select count(*) from iu_outbound_route as r where r.enabled and not r.dry_run),
      'leases', (select count(*) from iu_route_lease as l where l.leased_until > clock_timestamp()),
      'cursor', (
        select jsonb_build_object(
          'ran', c.last_run_summary ->> 'status' = 'ran',
          'paused', c.paused_because)
        from iu_route_worker_cursor as c
        where c.cursor_code = 'iu_outbound_default'
      )
    );
  end if;
  perform set_config('iu_core.gates_seen', v_seen::text, true);
end
$$;

with
  seen as (
    select
      gathered.facts,
      gathered.facts -> 'health' as health,
      gathered.facts -> 'settings' as settings
    from (select current_setting('iu_core.gates_seen')::jsonb as facts) as gathered
  ),
  guard as (
    select
      count(*) filter (where one.name = 'iu_outbound_route_safe_chk') as checks,
      count(*) filter (where one.name = 'trg_iu_outbound_route_safe_guard') as triggers
    from (
      select k.conname as name
      from pg_constraint as k
      where k.conrelid = to_regclass('iu_outbound_route')
        and k.conname = 'iu_outbound_route_safe_chk'
        and k.convalidated
      union all
      select t.tgname
      from pg_trigger as t
      where t.tgrelid = to_regclass('iu_outbound_route')
        and t.tgname = 'trg_iu_outbound_route_safe_guard'
        and t.tgenabled = 'A'
    ) as one
  ),
  parts as (
    select
      coalesce(seen.settings ? 'iu_core.delivery_enabled', false) as gate,
      to_regclass('iu_route_breaker') is not null as breaker,
      to_regprocedure('fn_iu_delivery_call(text,uuid,jsonb)') is not null as dispatch,
      to_regprocedure('fn_iu_route_breaker_note(text,integer,integer,integer,integer,text)') is not null as breaking,
      to_regprocedure('fn_iu_route_delivery_claim(text,integer,integer,uuid,text)') is not null as claiming,
      to_regprocedure('fn_iu_route_delivery_settle(text,uuid,jsonb)') is not null as settling,
      guard.triggers = 1 as guarding
    from seen
    cross join guard
  ),
  judged (check_id, needs_worker, passes, detail) as (
    select
      'S1 worker installed',
      false,
      seen.facts <> '{}',
      case
        when seen.facts = '{}'
          then 'worker, queue or the resting of a cursor is missing: run macros event-worker and worker-live-dry-run first'
        else 'worker, health, conservation and the queue of deliveries stand'
      end
    from seen
    union all
    select
      'S2 worker live in dry run',
      true,
      seen.health @> '{"master_gate_open": true, "worker_gate_open": true}'
        and seen.facts #>> '{cursor,ran}' = 'true'
        and seen.facts #>> '{cursor,paused}' is null,
      format('master gate open: %s, worker gate open: %s; iu_outbound_default has run: %s, rests: %s',
        seen.health ->> 'master_gate_open', seen.health ->> 'worker_gate_open',
        coalesce(seen.facts #>> '{cursor,ran}', 'false'), coalesce(seen.facts #>> '{cursor,paused}', 'no'))
    from seen
    union all
    select
      'S3 no live route',
      true,
      guard.checks + guard.triggers = 1 and seen.facts ->> 'live' = '0',
      format('guards of the routes: CHECK %s, trigger %s (one was expected); enabled and live: %s',
        guard.checks, guard.triggers, seen.facts ->> 'live')
    from seen
    cross join guard
    union all
    select
      'S4 delivery closed',
      true,
      coalesce(seen.settings ->> 'iu_core.delivery_enabled', 'false') = 'false'
        and coalesce(seen.settings ->> 'iu_core.delivery_live_routes', '') = '',
      format('delivery gate: %s; live routes: %s',
        coalesce(seen.settings ->> 'iu_core.delivery_enabled', 'none'),
        coalesce(quote_literal(seen.settings ->> 'iu_core.delivery_live_routes'), 'none'))
    from seen
    union all
    select
      'S5 nothing waits to be delivered',
      true,
      seen.health ->> 'queued_deliveries' = '0' and seen.health ->> 'blocked' = '0' and seen.facts ->> 'leases' = '0',
      format('queued %s, under way %s, blocked %s (deliver, recall or release them first)',
        seen.health ->> 'queued_deliveries', seen.facts ->> 'leases', seen.health ->> 'blocked')
    from seen
    union all
    select
      'S6 no open dead letter, no stall',
      true,
      seen.health ->> 'dead_letter_open' = '0' and seen.health #>> '{high_water_mark,stalled}' = 'false',
      format('open dead letters: %s; high-water mark stalled: %s, held back by %s',
        seen.health ->> 'dead_letter_open', seen.health #>> '{high_water_mark,stalled}',
        coalesce(seen.health #>> '{high_water_mark,blocker}', 'nobody'))
    from seen
    union all
    select
      'S7 conservation',
      true,
      seen.facts ->> 'balanced' = 'true',
      format('balanced: %s', seen.facts ->> 'balanced')
    from seen
    union all
    select
      'S8 server and rights',
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
    union all
    select
      'S9 nothing half built',
      true,
      case
        when parts.gate
          then parts.breaker and parts.dispatch and parts.breaking and parts.claiming and parts.settling
        else not (parts.breaker or parts.dispatch or parts.breaking or parts.claiming or parts.settling or parts.guarding)
      end,
      format('gate %s, breaker %s, functions of dispatch %s, breaker %s, claim %s, settling %s, guard %s '
        || '(a run that ended half-way is taken back by sluice macro rollback)',
        parts.gate::text, parts.breaker::text, parts.dispatch::text, parts.breaking::text, parts.claiming::text,
        parts.settling::text, parts.guarding::text)
    from parts
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
