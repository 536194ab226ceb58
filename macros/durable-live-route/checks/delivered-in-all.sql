-- does:      says, read-only, what became of every event that was routed live in this run: H3.
-- called by: macro durable-live-route, step verify.
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
      count(*) filter (where a.status = 'sent') as sent,
      count(*) filter (where a.detail ? 'recalled_by') as recalled,
      count(*) filter (where a.status = 'failed') as failed,
      count(*) filter (where a.status = 'blocked') as blocked
    from opened
    join iu_route_attempt as a on a.created_at >= opened.at
  )
select
  'H3 delivered in all' as check_id,
  case when counted.sent > 0 and counted.blocked = 0 then 'pass' else 'fail' end as verdict,
  format('sent %s, recalled %s, failed tries %s, blocked %s', counted.sent, counted.recalled, counted.failed,
    counted.blocked) as detail
from counted;
