-- does:      tells whether one delivery may be made, B1 to B14: the blockers of dry_run=false first, then what must hold
--            now. The candidate is the one route that iu_core.delivery_live_routes names.
-- called by: macros delivery-live and durable-live-route, step mandatory-gates.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing where the seam is missing: B1 and B2 fail, the others are not_run.

do $$
-- The seam may be missing, so it is asked only where it is there; the answers wait in a setting of this transaction.
declare
  v_seen jsonb := '{}';
  v_jobs bigint := 0;
begin
  if to_regclass('iu_route_breaker') is not null
    and to_regprocedure('fn_iu_delivery_call(text,uuid,jsonb)') is not null
    and to_regprocedure('fn_iu_route_delivery_claim(text,integer,integer,uuid,text)') is not null
    and to_regprocedure('fn_iu_route_delivery_settle(text,uuid,jsonb)') is not null
    and to_regprocedure('fn_iu_route_delivery_recall(text,integer,text,text)') is not null
  then
    if to_regclass('cron.job') is not null then
      execute 'select count(*) from cron.job where command ~ ''fn_iu_route''' into v_jobs;
    end if;
    with
      listed as (
        select trim(name) as name
        from dot_config
        cross join lateral string_to_table(dot_config.value, ',') as listed (name)
        where dot_config.key = 'iu_core.delivery_live_routes'
          and trim(name) <> ''
      )
    select jsonb_build_object(
      'health', fn_iu_route_worker_health(),
      'balanced', fn_iu_conservation() -> 'balanced',
      'fails_closed', fn_iu_route_seam_fails_closed(),
      'dispatches', (
        select p.prosrc ~ 'fn_iu_delivery_call'
        from pg_proc as p
        where p.oid = to_regprocedure('fn_iu_route_deliver(text,uuid,jsonb)')
      ),
      'names', (select coalesce(jsonb_agg(listed.name order by listed.name), '[]') from listed),
      'route', (
        select to_jsonb(r)
        from iu_outbound_route as r
        join listed on listed.name = r.route_code
        where (select count(*) from listed) = 1
      ),
      'function_fault', (
        select fn_iu_delivery_function_fault(r.target_ref)
        from iu_outbound_route as r
        join listed on listed.name = r.route_code
        where r.target_kind = 'sql_function'
          and (select count(*) from listed) = 1
      ),
      'delivery_gate', (select dot_config.value from dot_config where dot_config.key = 'iu_core.delivery_enabled'),
      'out_of_dry_run', (
        select coalesce(string_agg(r.route_code, ', ' order by r.route_code), '')
        from iu_outbound_route as r
        where not r.dry_run
      ),
      'dry_runs', (
        select count(*)
        from iu_route_attempt as a
        join listed on listed.name = a.route_code
        where a.decision = 'dry_run'
          and not a.detail ? 'recalled_by'
      ),
      'held', (select count(*) from iu_route_held as h join listed on listed.name = h.route_code),
      'breaker', (
        select b.state
        from iu_route_breaker as b
        join listed on listed.name = b.route_code
        where b.state <> 'closed'
        limit 1
      ),
      'leases', (select count(*) from iu_route_lease as l where l.leased_until > clock_timestamp()),
      'cursors', (
        select jsonb_build_object(
          'default', count(*) filter (where c.cursor_code = 'iu_outbound_default'),
          'foreign', count(*) filter (where c.system_identifier <> fn_iu_system_identifier()),
          'resting', string_agg(format('%s: %s', c.cursor_code, c.paused_because), '; ')
            filter (where c.paused_because is not null))
        from iu_route_worker_cursor as c
      ),
      'jobs', v_jobs)
    into v_seen;
  end if;
  perform set_config('iu_core.gates_seen', v_seen::text, true);
end
$$;

with
  seen as (
    select
      gathered.facts,
      gathered.facts -> 'health' as health,
      nullif(gathered.facts -> 'route', 'null') as route
    from (select current_setting('iu_core.gates_seen')::jsonb as facts) as gathered
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
  judged (place, check_id, passes, detail) as (
    select
      1,
      'B1 seam built',
      seen.facts @> '{"fails_closed": true, "dispatches": true}',
      case
        when seen.facts = '{}' then 'the seam is missing: run macro delivery-seam first'
        else format('the dispatcher stands: %s; called for nothing it refuses: %s', seen.facts ->> 'dispatches',
          seen.facts ->> 'fails_closed')
      end
    from seen
    union all
    select
      2,
      'B2 CHECK replaced by the guard',
      guard.checks = 0 and guard.triggers = 1,
      format('CHECK iu_outbound_route_safe_chk: %s; trigger trg_iu_outbound_route_safe_guard: %s', guard.checks, guard.triggers)
    from guard
    union all
    select
      3,
      'B3 organic dry-run attempts',
      (seen.facts ->> 'dry_runs')::bigint > 0,
      format('%s dry-run attempts of the route: emit or edit one unit version and drain it where there are none',
        seen.facts ->> 'dry_runs')
    from seen
    union all
    select
      4,
      'B4 high-water mark',
      seen.health #>> '{high_water_mark,stalled}' = 'false' and seen.facts ->> 'balanced' = 'true'
        and seen.facts #>> '{cursors,foreign}' = '0',
      format('stalled: %s, held back by %s; cursors of another cluster: %s; conservation balanced: %s',
        seen.health #>> '{high_water_mark,stalled}', coalesce(seen.health #>> '{high_water_mark,blocker}', 'nobody'),
        seen.facts #>> '{cursors,foreign}', seen.facts ->> 'balanced')
    from seen
    union all
    select
      5,
      'B5 invocation, no daemon',
      seen.facts ->> 'jobs' = '0' and has_function_privilege(current_user,
        to_regprocedure('fn_iu_route_delivery_claim(text,integer,integer,uuid,text)')::oid, 'execute'),
      format('the steps of this macro route and deliver; jobs of the database that would: %s; %s may claim deliveries: %s',
        seen.facts ->> 'jobs', current_user, has_function_privilege(current_user,
          to_regprocedure('fn_iu_route_delivery_claim(text,integer,integer,uuid,text)')::oid, 'execute')::text)
    from seen
    union all
    select
      6,
      'B6 one allowed route',
      seen.route is not null,
      format('iu_core.delivery_live_routes names %s%s; exactly one was expected: sluice route allow CODE',
        coalesce(nullif(seen.facts ->> 'names', '[]'), 'none'),
        case when seen.route is null then '' else format(', %s %s', seen.route ->> 'target_kind', seen.route ->> 'target_ref') end)
    from seen
    union all
    select
      7,
      'B7 gates now',
      seen.facts ->> 'delivery_gate' = 'false' and seen.health @> '{"master_gate_open": true, "worker_gate_open": true}',
      format('delivery gate: %s (false was expected); master gate open: %s, worker gate open: %s',
        coalesce(seen.facts ->> 'delivery_gate', 'missing'), seen.health ->> 'master_gate_open',
        seen.health ->> 'worker_gate_open')
    from seen
    union all
    select
      8,
      'B8 routes in dry run',
      seen.route @> '{"enabled": true, "dry_run": true}' and seen.facts ->> 'out_of_dry_run' = '',
      format('the route is %s; out of dry run: %s',
        case when seen.route ->> 'enabled' = 'true' then 'enabled' else 'not enabled' end,
        coalesce(nullif(seen.facts ->> 'out_of_dry_run', ''), 'none'))
    from seen
    union all
    select
      9,
      'B9 no open dead letter',
      seen.health ->> 'dead_letter_open' = '0',
      format('%s open', seen.health ->> 'dead_letter_open')
    from seen
    union all
    select
      10,
      'B10 queue empty',
      seen.health ->> 'queued_deliveries' = '0' and seen.facts ->> 'leases' = '0',
      format('queued %s, claims under way %s', seen.health ->> 'queued_deliveries', seen.facts ->> 'leases')
    from seen
    union all
    select
      11,
      'B11 nothing held or blocked',
      seen.facts ->> 'held' = '0' and seen.health ->> 'blocked' = '0',
      format('held for the order of a subject: %s; blocked: %s (sluice outbox release)', seen.facts ->> 'held',
        seen.health ->> 'blocked')
    from seen
    union all
    select
      12,
      'B12 breaker closed',
      seen.facts ->> 'breaker' is null,
      format('breaker of the route: %s', coalesce(seen.facts ->> 'breaker', 'closed'))
    from seen
    union all
    select
      13,
      'B13 target',
      seen.route is not null and seen.facts ->> 'function_fault' is null,
      coalesce(seen.facts ->> 'function_fault',
        format('nothing is known against it; sluice route test %s asks it', coalesce(seen.route ->> 'route_code', 'CODE')))
    from seen
    union all
    select
      14,
      'B14 cursors at work',
      seen.facts #>> '{cursors,default}' = '1' and seen.facts #>> '{cursors,resting}' is null,
      format('iu_outbound_default registered: %s; resting: %s', seen.facts #>> '{cursors,default}',
        coalesce(seen.facts #>> '{cursors,resting}', 'none'))
    from seen
  )
select
  judged.check_id,
  case
    when seen.facts = '{}' and judged.place > 2 then 'not_run'
    when judged.passes then 'pass'
    else 'fail'
  end as verdict,
  coalesce(judged.detail, 'the seam is missing') as detail
from judged
cross join seen
order by judged.place;
