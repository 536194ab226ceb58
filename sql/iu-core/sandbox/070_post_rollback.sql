-- does:      proves, after the probe of planned replays was rolled back, that nothing of it is left: its transaction is aborted;
--            no event, attempt, dead letter, plan, run or change of a gate or route carries its number; no marker, role or route
--            of a probe stands; the guard of the routes is there.
-- called by: macro dead-letter-replay, in a READ ONLY transaction in which `sluice.probe_xid` names the probe's transaction.
-- locks:     none.
-- raises:    nothing of its own.

with
  probe as (
    select nullif(current_setting('sluice.probe_xid', true), '')::xid8 as xid
  ),
  left_over as (
    select
      (select count(*) from event_outbox where event_outbox.xact_id = probe.xid) as events,
      (select count(*) from iu_route_attempt where iu_route_attempt.xact_id = probe.xid) as attempts,
      (select count(*) from iu_route_dead_letter where iu_route_dead_letter.xact_id = probe.xid) as dead_letters,
      (select count(*) from iu_replay_plan where iu_replay_plan.xact_id = probe.xid) as plans,
      (select count(*) from iu_replay_run where starts_with(iu_replay_run.run_id, 'probe ' || probe.xid)) as runs,
      (select count(*) from iu_control_change where iu_control_change.xact_id = probe.xid) as controls,
      (select count(*) from iu_probe_marker) as markers,
      (select count(*) from iu_outbound_route where starts_with(iu_outbound_route.route_code, 'iu_probe.')) as routes,
      (select count(*) from pg_roles where pg_roles.rolname ~ format('^iu_probe_\d+_%s$', probe.xid)) as roles
    from probe
  )
select
  'POST-ROLLBACK' as check_id,
  case
    when probe.xid is null then 'not_run'
    when pg_xact_status(probe.xid) is distinct from 'aborted' then 'fail'
    when left_over.events + left_over.attempts + left_over.dead_letters + left_over.plans + left_over.runs
      + left_over.markers + left_over.routes + left_over.roles > 0 then 'fail'
    else 'pass'
  end as verdict,
  case
    when probe.xid is null then 'sluice.probe_xid is not set: nobody said which transaction was the probe'
    else format('transaction %s is %s; left of it: events %s / attempts %s / dead letters %s / plans %s / runs %s / routes %s / '
      || 'roles %s', probe.xid, coalesce(pg_xact_status(probe.xid), 'too old to tell'), left_over.events,
      left_over.attempts, left_over.dead_letters, left_over.plans, left_over.runs, left_over.routes, left_over.roles)
  end as detail
from probe
cross join left_over

union all

select
  'POST-ROLLBACK gates',
  case
    when probe.xid is null then 'not_run'
    when left_over.controls = 0 then 'pass'
    else 'fail'
  end,
  format('changes of gates, lists and routes by it: %s; master gate %s, worker gate %s, delivery gate %s',
    left_over.controls, fn_iu_gate_open('iu_core.outbound_enabled')::text,
    fn_iu_gate_open('iu_core.route_worker_enabled')::text, fn_iu_gate_open('iu_core.delivery_enabled')::text)
from probe
cross join left_over

union all

select
  'POST-ROLLBACK guard',
  case when count(*) = 1 then 'pass' else 'fail' end,
  case when count(*) = 1 then 'trg_iu_outbound_route_safe_guard stands' else 'no guard keeps a route from going live' end
from pg_trigger as t
where t.tgrelid = 'iu_outbound_route'::regclass
  and t.tgname = 'trg_iu_outbound_route_safe_guard'
  and t.tgenabled = 'A';
