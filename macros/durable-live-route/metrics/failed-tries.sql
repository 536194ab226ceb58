-- does:      share of the tries since the delivery gate was opened that failed, in percent; 0 before the first.
-- called by: step observe-delivery; locks: none; raises: nothing.
select coalesce(round(100.0 * count(*) filter (where a.status = 'failed') / nullif(count(*), 0), 1), 0) as value
from iu_route_attempt as a
where a.status in ('sent', 'failed')
  and a.created_at >= (
    select max(k.changed_at)
    from iu_control_change as k
    where k.control = 'config'
      and k.name = 'iu_core.delivery_enabled'
      and k.became ->> 'value' = 'true'
  );
