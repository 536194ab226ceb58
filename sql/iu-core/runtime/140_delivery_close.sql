-- does:      ends live delivery: the delivery gate closed, every route back in dry run, the list of live routes empty, the
--            cursors that rest for one delivery at work again. What is under way ends; fn_iu_gate_wait tells when.
-- called by: macros delivery-live and durable-live-route.
-- locks:     the gate's and the list's row, the routes' and the cursors' rows.
-- raises:    nothing of its own.

update dot_config
set value = 'false'
where dot_config.key = 'iu_core.delivery_enabled';

update iu_outbound_route
set dry_run = true
where not iu_outbound_route.dry_run;

update dot_config
set value = ''
where dot_config.key = 'iu_core.delivery_live_routes';

update iu_route_worker_cursor
set paused_because = null
where iu_route_worker_cursor.paused_because = 'delivery-live: one controlled delivery';
