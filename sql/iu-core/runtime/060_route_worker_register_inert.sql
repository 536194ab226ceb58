-- does:      registers the worker inert: its gate closed, its cursor before the first event. Nothing can run.
-- called by: macro event-worker.
-- locks:     the new rows.
-- raises:    unique_violation where gate or cursor are there already.

insert into dot_config (key, value)
values ('iu_core.route_worker_enabled', 'false');

insert into iu_route_worker_cursor (cursor_code)
values ('iu_outbound_default');
