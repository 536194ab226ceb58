-- does:      events that the default cursor has not decided about yet; called by: step observe; locks: none; raises: nothing.
select coalesce(sum(v_iu_event_backlog.events), 0) as value
from v_iu_event_backlog
where v_iu_event_backlog.cursor_code = 'iu_outbound_default';
