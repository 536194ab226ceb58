-- does:      closes the delivery gate and puts every route back into dry run, at once. What was delivered stays, as
--            history; what is queued stays queued, and nobody may claim it.
-- called by: the rollback of macros delivery-live (runtime 130) and durable-live-route (runtime 160).
-- locks:     the gate's row, the routes' rows.
-- raises:    nothing of its own.

insert into dot_config (key, value)
values ('iu_core.delivery_enabled', 'false')
on conflict (key) do update
set value = excluded.value;

update iu_outbound_route
set dry_run = true
where not iu_outbound_route.dry_run;
