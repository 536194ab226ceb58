-- does:      way back of L0: opens the worker gate again.
-- called by: operators, once the reason for disabling is gone; last of the ways back.
-- locks:     the gate's row.
-- raises:    nothing of its own.

update dot_config
set value = 'true'
where dot_config.key = 'iu_core.route_worker_enabled';
