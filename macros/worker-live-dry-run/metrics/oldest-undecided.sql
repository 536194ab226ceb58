-- does:      age of the oldest event that the default cursor has not decided about, 0 where there is none: with organic
--            writers a backlog is never empty, but nothing in it may grow old.
-- called by: step observe; locks: none; raises: nothing.
select coalesce(extract(epoch from clock_timestamp() - min(v_iu_event_backlog.oldest_at)), 0) as value
from v_iu_event_backlog
where v_iu_event_backlog.cursor_code = 'iu_outbound_default';
