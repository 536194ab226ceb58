-- does:      routes whose breaker is not closed; called by: step observe-delivery; locks: none; raises: nothing.
select count(*) as value
from iu_route_breaker
where iu_route_breaker.state <> 'closed';
