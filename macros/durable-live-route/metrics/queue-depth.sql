-- does:      deliveries in the queue; called by: step observe-delivery; locks: none; raises: nothing.
select count(*) as value
from iu_route_delivery;
