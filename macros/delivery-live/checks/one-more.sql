-- does:      proves, read-only, what is left of the one delivery: H1 and H2.
-- called by: macro delivery-live, step verify.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing.

with
  opened as (
    select max(k.changed_at) as at
    from iu_control_change as k
    where k.control = 'config'
      and k.name = 'iu_core.delivery_enabled'
      and k.became ->> 'value' = 'true'
  ),
  counted as (
    select
      count(*) filter (where a.status = 'sent' and a.delivered and a.created_at >= opened.at) as sent_now,
      count(*) filter (where a.status = 'sent') as sent,
      count(*) filter (where a.decision = 'dry_run') as dry_run,
      count(*) filter (where a.decision = 'blocked' and a.created_at >= opened.at) as blocked_now,
      count(*) as attempts
    from opened
    cross join iu_route_attempt as a
  )
select
  'H1 one delivery more' as check_id,
  case when counted.sent_now = 1 then 'pass' else 'fail' end as verdict,
  format('sent since the gate was opened: %s; in the audit: %s attempts, %s dry_run, %s sent', counted.sent_now,
    counted.attempts, counted.dry_run, counted.sent) as detail
from counted
union all
select
  'H2 nothing blocked on the way back',
  case when counted.blocked_now = 0 then 'pass' else 'fail' end,
  format('blocked since the gate was opened: %s', counted.blocked_now)
from counted;
