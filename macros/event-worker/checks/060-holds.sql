-- does:      tells whether the worker is registered: its gate has a row (open or closed) and its cursor stands.
-- called by: macro event-worker, before step register-060.
-- locks:     ACCESS SHARE on both tables.
-- raises:    nothing.

select
  'runtime 060 holds' as check_id,
  case when count(dot_config.key) = 1 and count(iu_route_worker_cursor.cursor_code) = 1 then 'pass' else 'fail' end
    as verdict,
  format('gate rows %s, cursor rows %s', count(dot_config.key), count(iu_route_worker_cursor.cursor_code)) as detail
from (values (1)) as once
left join dot_config on dot_config.key = 'iu_core.route_worker_enabled'
left join iu_route_worker_cursor on iu_route_worker_cursor.cursor_code = 'iu_outbound_default';
