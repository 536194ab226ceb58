-- does:      events that a gate or the list keeps back; called by: the observe steps; locks: none; raises: nothing.
select count(*) as value
from fn_iu_route_blocked(null);
