-- does:      proves, read-only, while the route is still live, what it has delivered: U1 to U5.
-- called by: macro durable-live-route, step verify-live.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_table where the seam is not built.

with
  opened as (
    select max(k.changed_at) as at
    from iu_control_change as k
    where k.control = 'config'
      and k.name = 'iu_core.delivery_enabled'
      and k.became ->> 'value' = 'true'
  ),
  made as (
    select
      count(*) filter (where a.status = 'sent' and a.delivered) as sent,
      count(*) filter (where a.status = 'sent' and not a.delivered) as accepted,
      count(*) filter (where a.status = 'failed') as failed,
      count(*) filter (where a.status = 'blocked') as blocked,
      count(*) filter (where a.status = 'sent' and not fn_iu_dot_list_names('iu_core.delivery_live_routes', a.route_code))
        as by_others
    from opened
    join iu_route_attempt as a on a.created_at >= opened.at
  ),
  twice as (
    select count(*) as keys
    from (
      select
      from opened
      join iu_route_attempt as a on a.created_at >= opened.at
      where a.status = 'sent'
        and a.delivered
      group by a.event_id, a.route_code
      having count(*) > 1
    ) as one
  ),
  health as materialized (
    select fn_iu_route_worker_health() as told
  )
select
  'U1 delivered' as check_id,
  case when made.sent > 0 and made.by_others = 0 then 'pass' else 'fail' end as verdict,
  format('sent and delivered %s, accepted %s, by other routes %s; failed tries %s', made.sent, made.accepted,
    made.by_others, made.failed) as detail
from made
union all
select
  'U2 each once',
  case when twice.keys = 0 then 'pass' else 'fail' end,
  format('events recorded as delivered twice: %s', twice.keys)
from twice
union all
select
  'U3 nothing blocked, no open dead letter',
  case when made.blocked = 0 and health.told ->> 'dead_letter_open' = '0' then 'pass' else 'fail' end,
  format('blocked %s, open dead letters %s', made.blocked, health.told ->> 'dead_letter_open')
from made
cross join health
union all
select
  'U4 health',
  case when health.told ->> 'healthy' = 'true' then 'pass' else 'fail' end,
  format('healthy=%s, backlog %s, queued %s %s', health.told ->> 'healthy', health.told ->> 'backlog',
    health.told ->> 'queued_deliveries', nullif(health.told ->> 'reasons', '[]'))
from health
union all
select
  'U5 conservation',
  case when fn_iu_conservation() ->> 'balanced' = 'true' then 'pass' else 'fail' end,
  'every event up to the cursor has its attempt or is queued';
