-- does:      for how long the delivery has been due that waits the longest, 0 where none does, in seconds.
-- called by: step observe-delivery; locks: none; raises: nothing.
select coalesce(extract(epoch from clock_timestamp() - min(q.due_at)), 0) as value
from iu_route_delivery as q
where q.due_at <= clock_timestamp();
