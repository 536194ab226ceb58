-- does:      events routed live since the delivery gate was opened: queued, or tried; called by: step observe-routing;
--            locks: none; raises: nothing.
select count(*) as value
from (
  select q.event_id, q.route_code
  from iu_route_delivery as q
  union
  select a.event_id, a.route_code
  from iu_route_attempt as a
  where a.status in ('sent', 'failed')
    and a.created_at >= (
      select max(k.changed_at)
      from iu_control_change as k
      where k.control = 'config'
        and k.name = 'iu_core.delivery_enabled'
        and k.became ->> 'value' = 'true'
    )
) as routed;
