-- does:      waits, in a transaction of its own that may be read-only, until no delivery and no run is left that began before
--            the delivery gate was closed.
-- called by: macros delivery-live and durable-live-route, after runtime 140 has committed.
-- locks:     the exclusive side of the worker's advisory lock, under lock_timeout.
-- raises:    lock_not_available, naming the pids that are still at work; SL008 where the gate is open.

do $$
begin
  perform set_config('iu_core.delivery_waited', fn_iu_gate_wait('iu_core.delivery_enabled')::text, true);
end
$$;

select
  'nothing under way' as check_id,
  'pass' as verdict,
  format('no delivery and no run is left (waited %s ms)', current_setting('iu_core.delivery_waited')::jsonb ->> 'waited_ms') as detail;
