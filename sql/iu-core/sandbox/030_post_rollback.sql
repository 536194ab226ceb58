-- does:      proves, after the installation probe was rolled back, that nothing of it is left.
-- called by: macro event-worker, in a READ ONLY transaction in which `sluice.probe_xid` names the probe's transaction.
-- locks:     none.
-- raises:    nothing of its own.

with
  probe as (
    select nullif(current_setting('sluice.probe_xid', true), '')::xid8 as xid
  ),
  left_over as (
    select
      (select count(*) from event_outbox where event_outbox.xact_id = probe.xid)
        + (select count(*) from iu_route_attempt where iu_route_attempt.xact_id = probe.xid)
        + (select count(*) from iu_route_dead_letter where iu_route_dead_letter.xact_id = probe.xid)
        + (select count(*) from iu_probe_marker) as rows_left
    from probe
  )
select
  'POST-ROLLBACK' as check_id,
  case
    when probe.xid is null then 'not_run'
    when pg_xact_status(probe.xid) is distinct from 'aborted' or left_over.rows_left > 0 then 'fail'
    else 'pass'
  end as verdict,
  case
    when probe.xid is null then 'sluice.probe_xid is not set: nobody said which transaction was the probe'
    else format('transaction %s is %s; %s rows of it are left',
      probe.xid, coalesce(pg_xact_status(probe.xid), 'too old to tell'), left_over.rows_left)
  end as detail
from probe
cross join left_over;
