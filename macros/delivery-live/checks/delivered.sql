-- does:      proves, read-only, that exactly one delivery was made since the gate was opened, C1 to C6.
-- called by: macro delivery-live, step delivered.
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
      count(*) filter (where a.status = 'skipped') as skipped,
      string_agg(distinct a.failure_code, ', ') as failure_codes,
      string_agg(distinct a.route_code, ', ') filter (where a.status = 'sent') as routes
    from opened
    join iu_route_attempt as a on a.created_at >= opened.at
    where a.status in ('sent', 'failed', 'skipped')
      and a.decision <> 'no_route'
  ),
  queued as (
    select
      count(*) as deliveries,
      max(q.tries) as tries,
      string_agg(distinct q.target_kind, ', ') as kinds,
      max(q.due_at) as due_at
    from iu_route_delivery as q
  ),
  health as materialized (
    select fn_iu_route_worker_health() as told
  )
select
  'C1 one delivery' as check_id,
  case
    when made.sent = 1 and made.accepted = 0 and fn_iu_dot_list_names('iu_core.delivery_live_routes', made.routes) then 'pass'
    else 'fail'
  end as verdict,
  format('sent and delivered %s, by route %s; sent without being delivered %s', made.sent, coalesce(made.routes, 'none'),
    made.accepted) as detail
from made
union all
select
  'C2 no failure',
  case when made.failed = 0 and made.skipped = 0 then 'pass' else 'fail' end,
  format('failed %s (%s), skipped %s', made.failed, coalesce(made.failure_codes, 'none'), made.skipped)
from made
union all
select
  'C3 queue empty',
  case when queued.deliveries = 0 then 'pass' else 'fail' end,
  case
    when queued.deliveries = 0 then 'nothing is queued'
    when queued.tries > 0 then format('%s queued after %s failed tries, due again at %s', queued.deliveries, queued.tries, queued.due_at)
    else format('%s queued and never tried: is kind %s configured for the worker?', queued.deliveries, queued.kinds)
  end
from queued
union all
select
  'C4 no open dead letter',
  case when health.told ->> 'dead_letter_open' = '0' then 'pass' else 'fail' end,
  format('%s open', health.told ->> 'dead_letter_open')
from health
union all
select
  'C5 conservation',
  case when fn_iu_conservation() ->> 'balanced' = 'true' then 'pass' else 'fail' end,
  'every event up to the cursor has its attempt or is queued'
union all
select
  'C6 the cursor rests',
  case when c.paused_because is not null then 'pass' else 'fail' end,
  format('iu_outbound_default: %s', coalesce(c.paused_because, 'at work: a second event may have been routed live'))
from iu_route_worker_cursor as c
where c.cursor_code = 'iu_outbound_default';
