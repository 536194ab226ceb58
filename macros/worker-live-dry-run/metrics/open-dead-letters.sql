-- does:      open dead letters; called by: step observe; locks: none; raises: nothing.
select count(*) as value
from v_iu_route_dead_letter_open;
