-- does:      tells whether an event waits that the candidate takes; where none does, a person emits one and lets the step be
--            tried again.
-- called by: macro delivery-live, step event-at-hand, while the cursors rest.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing.

with
  candidate as (
    select r.*
    from iu_outbound_route as r
    where fn_iu_dot_list_names('iu_core.delivery_live_routes', r.route_code)
  ),
  waiting as (
    select
      e.event_domain = candidate.event_domain
        and e.event_type = candidate.event_type
        and (
          candidate.event_filter is null
          or coalesce(jsonb_path_query_first(e.payload, candidate.event_filter, '{}', true) not in ('false', 'null'), false)
        ) as taken
    from candidate
    join iu_route_worker_cursor as c on c.cursor_code = 'iu_outbound_default'
    join event_outbox as e
      on (e.epoch, e.xact_id, e.created_at, e.id) > (
        coalesce(c.cursor_epoch, 0),
        coalesce(c.cursor_xact_id, '0'),
        coalesce(c.cursor_created_at, '-infinity'),
        coalesce(c.cursor_event_id, '00000000-0000-0000-0000-000000000000'))
  )
select
  'E1 event at hand' as check_id,
  case when count(*) filter (where waiting.taken) > 0 then 'pass' else 'inconclusive' end as verdict,
  case
    when count(*) filter (where waiting.taken) > 0
      then format('%s events wait, the route takes %s of them', count(*), count(*) filter (where waiting.taken))
    else format('none of %s events that wait is for route %s: emit or edit one unit version, then sluice macro retry', count(*),
      coalesce((select string_agg(candidate.route_code, ', ') from candidate), 'none'))
  end as detail
from waiting;
