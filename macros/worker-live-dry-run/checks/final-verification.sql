-- does:      proves, read-only, at the end: F1 to F6. Nothing was lost, nothing was delivered, and it is still possible to
--            see and to stop.
-- called by: macro worker-live-dry-run, step verify.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_function where the worker is not installed.

with
  seen as materialized (
    select
      fn_iu_conservation() as proof,
      fn_iu_route_worker_health() as health
  ),
  organic as (
    select
      count(*) filter (where decision = 'dry_run') as dry_runs,
      count(*) filter (where decision = 'no_route') as unrouted,
      count(*) filter (where decision = 'failed') as failed,
      count(*) filter (where status = 'sent' or delivered) as sent,
      count(*) filter (where delivered and status <> 'sent') as contradictions
    from iu_route_attempt
  )
select
  'F1 conservation' as check_id,
  case when seen.proof ->> 'balanced' = 'true' then 'pass' else 'fail' end as verdict,
  format('events up to the cursor %s, decided %s; without attempt %s; versions without event %s',
    seen.proof #>> '{cursors,0,events_up_to_cursor}', seen.proof #>> '{cursors,0,events_decided}',
    seen.proof #>> '{cursors,0,events_without_attempt}', seen.proof ->> 'versions_without_event') as detail
from seen
union all
select
  'F2 health',
  case when seen.health ->> 'healthy' = 'true' then 'pass' else 'fail' end,
  format('healthy=%s, backlog %s, last run %s %s', seen.health ->> 'healthy', seen.health ->> 'backlog',
    seen.health #>> '{cursors,0,last_run_at}', nullif(seen.health ->> 'reasons', '[]'))
from seen
union all
select
  'F3 gates',
  case
    when seen.health @> '{"master_gate_open": true, "worker_gate_open": true, "delivery_gate_open": false}' then 'pass'
    else 'fail'
  end,
  format('master gate open: %s, worker gate open: %s, delivery gate open: %s', seen.health ->> 'master_gate_open',
    seen.health ->> 'worker_gate_open', seen.health ->> 'delivery_gate_open')
from seen
union all
select
  'F4 attempts',
  case when organic.contradictions = 0 then 'pass' else 'fail' end,
  format('%s dry_run, %s no_route, %s failed, %s sent', organic.dry_runs, organic.unrouted, organic.failed, organic.sent)
from organic
union all
select
  'F5 routes in dry run',
  case when count(*) filter (where r.enabled and not r.dry_run) = 0 and count(*) filter (where r.enabled) > 0 then 'pass' else 'fail' end,
  format('%s enabled, %s of them live', count(*) filter (where r.enabled), count(*) filter (where r.enabled and not r.dry_run))
from iu_outbound_route as r
union all
select
  'F6 dead letters',
  case when seen.health ->> 'dead_letter_open' = '0' then 'pass' else 'fail' end,
  format('%s open', seen.health ->> 'dead_letter_open')
from seen;
