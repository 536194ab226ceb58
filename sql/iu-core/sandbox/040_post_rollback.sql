-- does:      proves, after a probe was rolled back, that nothing of it is left: its transaction is aborted, no row carries
--            its number, no marker or second cursor stands, the guard of the routes is back, both gates are open. Counts
--            are shown; they bind only where nobody else writes.
-- called by: macros with a probe, in a READ ONLY transaction in which `sluice.probe_xid` names the probe's transaction.
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
      (select count(*) from iu_probe_marker) as markers,
      (select count(*) from iu_route_worker_cursor where iu_route_worker_cursor.cursor_code = 'iu_outbound_probe') as cursors
    from probe
  ),
  counted as (
    select
      (select count(*) from event_outbox where event_outbox.event_domain = 'iu') as events,
      (select count(*) from iu_route_attempt) as attempts,
      (select count(*) from iu_route_dead_letter) as dead_letters
  )
select
  'POST-ROLLBACK' as check_id,
  case
    when probe.xid is null then 'not_run'
    when pg_xact_status(probe.xid) is distinct from 'aborted' then 'fail'
    when left_over.events + left_over.attempts + left_over.dead_letters + left_over.markers + left_over.cursors > 0
      then 'fail'
    else 'pass'
  end as verdict,
  case
    when probe.xid is null then 'sluice.probe_xid is not set: nobody said which transaction was the probe'
    else format('transaction %s is %s; left of it: iu_events %s / attempts %s / dead_letters %s',
      probe.xid, coalesce(pg_xact_status(probe.xid), 'too old to tell'),
      left_over.events, left_over.attempts, left_over.dead_letters)
  end
  || format('; in the tables: %s / %s / %s', counted.events, counted.attempts, counted.dead_letters) as detail
from probe
cross join left_over
cross join counted

union all

select
  'POST-ROLLBACK gates',
  case
    when fn_iu_gate_open('iu_core.outbound_enabled') and fn_iu_gate_open('iu_core.route_worker_enabled') then 'pass'
    else 'fail'
  end,
  format('master gate %s, worker gate %s',
    fn_iu_gate_open('iu_core.outbound_enabled')::text, fn_iu_gate_open('iu_core.route_worker_enabled')::text)

union all

select
  'POST-ROLLBACK guard',
  case when count(*) > 0 then 'pass' else 'fail' end,
  coalesce(string_agg(guard.name, ', ') || ' stands', 'no guard keeps a live route from being enabled')
from (
  select pg_constraint.conname::text as name
  from pg_constraint
  where pg_constraint.conrelid = 'iu_outbound_route'::regclass
    and pg_constraint.conname = 'iu_outbound_route_safe_chk'
    and pg_constraint.convalidated
  union all
  select pg_trigger.tgname::text
  from pg_trigger
  where pg_trigger.tgrelid = 'iu_outbound_route'::regclass
    and pg_trigger.tgname = 'trg_iu_outbound_route_safe_guard'
    and pg_trigger.tgenabled = 'A'
) as guard;
