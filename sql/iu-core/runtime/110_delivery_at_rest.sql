-- does:      proves, read-only, that the delivery seam is built and at rest: A1 to A9. Everything that delivers stands, and
--            nothing can be delivered.
-- called by: macros delivery-seam, delivery-live and durable-live-route, as their last step.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_table, undefined_function where the seam is not built.

with
  wanted (name) as (
    values
      ('fn_iu_route_deliver(text,uuid,jsonb)'),
      ('fn_iu_delivery_function_fault(text)'),
      ('fn_iu_delivery_call(text,uuid,jsonb)'),
      ('fn_iu_route_breaker_admit(text,integer,integer)'),
      ('fn_iu_route_breaker_note(text,integer,integer,integer,integer,text)'),
      ('fn_iu_delivery_session_enter()'),
      ('fn_iu_delivery_session_leave()'),
      ('fn_iu_route_delivery_work(text[])'),
      ('fn_iu_route_delivery_claim(text,integer,integer,uuid,text)'),
      ('fn_iu_route_delivery_renew(uuid[],integer)'),
      ('fn_iu_route_delivery_return(uuid[])'),
      ('fn_iu_route_delivery_settle(text,uuid,jsonb)'),
      ('fn_iu_route_delivery_recall(text,integer,text,text)'),
      ('fn_iu_outbound_route_safe_guard()')
  ),
  judged as (
    select
      wanted.name,
      case
        when p.oid is null then 'missing'
        when p.proowner <> to_regrole('iu_core_owner')::oid then 'not owned by iu_core_owner'
        when not coalesce(p.proconfig, '{}') @> array['search_path=' || quote_ident(current_schema()) || ', pg_temp']
          then 'search path not pinned'
        when has_function_privilege('public', p.oid, 'execute') then 'PUBLIC may execute it'
      end as fault
    from wanted
    left join pg_proc as p on p.oid = to_regprocedure(wanted.name)
  )
select
  'A1 seam built' as check_id,
  case when count(judged.fault) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(string_agg(judged.name || ': ' || judged.fault, '; ') filter (where judged.fault is not null),
    count(*) || ' functions stand, path pinned, closed to PUBLIC') as detail
from judged;

select
  'A2 route guard' as check_id,
  case when count(*) = 1 and bool_and(t.tgenabled = 'A') and bool_and(not checks.stands) then 'pass' else 'fail' end as verdict,
  format('trigger trg_iu_outbound_route_safe_guard: %s; CHECK iu_outbound_route_safe_chk: %s',
    coalesce(string_agg(case t.tgenabled when 'A' then 'fires always' else 'does not fire always' end, ', '), 'missing'),
    case when bool_or(checks.stands) then 'still there' else 'replaced' end) as detail
from (
  select exists (
    select
    from pg_constraint as k
    where k.conrelid = 'iu_outbound_route'::regclass
      and k.conname = 'iu_outbound_route_safe_chk'
  ) as stands
) as checks
left join pg_trigger as t on t.tgrelid = 'iu_outbound_route'::regclass
  and t.tgname = 'trg_iu_outbound_route_safe_guard';

with
  setting as (
    select
      max(dot_config.value) filter (where dot_config.key = 'iu_core.delivery_enabled') as delivery,
      max(dot_config.value) filter (where dot_config.key = 'iu_core.delivery_live_routes') as live_routes,
      max(dot_config.value) filter (where dot_config.key = 'iu_core.delivery_functions') as functions
    from dot_config
  )
select
  'A3 gates' as check_id,
  case
    when setting.delivery = 'false' and fn_iu_gate_open('iu_core.outbound_enabled')
      and fn_iu_gate_open('iu_core.route_worker_enabled') then 'pass'
    else 'fail'
  end as verdict,
  format('iu_core.delivery_enabled is %s; master gate open: %s, worker gate open: %s',
    coalesce(quote_literal(setting.delivery), 'missing'), fn_iu_gate_open('iu_core.outbound_enabled')::text,
    fn_iu_gate_open('iu_core.route_worker_enabled')::text) as detail
from setting
union all
select
  'A4 live list',
  case when setting.live_routes = '' then 'pass' else 'fail' end,
  format('iu_core.delivery_live_routes is %s; functions that a route may call: %s',
    coalesce(quote_literal(setting.live_routes), 'missing'), coalesce(quote_literal(setting.functions), 'missing'))
from setting;

select
  'A5 routes' as check_id,
  case when count(*) filter (where r.enabled and not r.dry_run) = 0 then 'pass' else 'fail' end as verdict,
  format('%s enabled, %s of them live%s', count(*) filter (where r.enabled),
    count(*) filter (where r.enabled and not r.dry_run),
    coalesce(': ' || string_agg(r.route_code, ', ') filter (where r.enabled and not r.dry_run), '')) as detail
from iu_outbound_route as r
union all
select
  'A6 seam fails closed',
  case when fn_iu_route_seam_fails_closed() then 'pass' else 'fail' end,
  'fn_iu_route_deliver, called for nothing, must raise feature_not_supported';

with
  health as materialized (
    select fn_iu_route_worker_health() as told
  ),
  leases as (
    select count(*) as held
    from iu_route_lease
    where iu_route_lease.leased_until > clock_timestamp()
  ),
  resting as (
    select string_agg(format('%s: %s', c.cursor_code, c.paused_because), '; ') as cursors
    from iu_route_worker_cursor as c
    where c.paused_because is not null
  )
select
  'A7 queue' as check_id,
  case when health.told ->> 'queued_deliveries' = '0' and leases.held = 0 then 'pass' else 'fail' end as verdict,
  format('%s queued, %s claims under way; %s blocked', health.told ->> 'queued_deliveries', leases.held,
    health.told ->> 'blocked') as detail
from health
cross join leases
union all
select
  'A8 health',
  case
    when health.told ->> 'healthy' = 'true' and health.told ->> 'dead_letter_open' = '0' and resting.cursors is null then 'pass'
    else 'fail'
  end,
  format('healthy=%s, backlog %s, open dead letters %s, cursors that rest: %s %s', health.told ->> 'healthy',
    health.told ->> 'backlog', health.told ->> 'dead_letter_open', coalesce(resting.cursors, 'none'),
    nullif(health.told ->> 'reasons', '[]'))
from health
cross join resting;

with
  seen as materialized (
    select fn_iu_conservation() as proof
  )
select
  'A9 conservation' as check_id,
  case when seen.proof ->> 'balanced' = 'true' then 'pass' else 'fail' end as verdict,
  format('events up to the cursor %s, decided %s; without attempt %s; versions without event %s',
    seen.proof #>> '{cursors,0,events_up_to_cursor}', seen.proof #>> '{cursors,0,events_decided}',
    seen.proof #>> '{cursors,0,events_without_attempt}', seen.proof ->> 'versions_without_event') as detail
from seen;
