-- does:      second half of L0, in a transaction of its own: waits until no run is left. Afterwards nothing runs and
--            nothing can start.
-- called by: the runbook, after l0_worker_gate.sql has committed.
-- locks:     the exclusive side of the worker's advisory lock, under lock_timeout.
-- raises:    lock_not_available, naming the pids that still run.

do $$
begin
  if to_regprocedure('fn_iu_gate_wait(text)') is not null then
    perform fn_iu_gate_wait('iu_core.route_worker_enabled');
  end if;
end
$$;
