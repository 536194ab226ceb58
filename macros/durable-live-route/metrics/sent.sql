-- does:      deliveries made since the delivery gate was opened; called by: step observe-delivery; locks: none; raises: nothing.
select count(*) as value
from iu_route_attempt as a
where a.status = 'sent'
  and a.created_at >= (
    select max(k.changed_at)
    from iu_control_change as k
    where k.control = 'config'
      and k.name = 'iu_core.delivery_enabled'
      and k.became ->> 'value' = 'true'
  );
