-- does:      level L0 of the disable runbook: closes the worker gate. From its commit on no run starts; l0_wait.sql tells
--            when none is left.
-- called by: the runbook of event-worker and worker-live-dry-run; operators. Way back: l0_worker_gate_back.sql.
-- locks:     the gate's row.
-- raises:    nothing of its own.

insert into dot_config (key, value)
values ('iu_core.route_worker_enabled', 'false')
on conflict (key) do update
set value = excluded.value;
