-- does:      closes the worker gate; a run from now on answers worker_gate_closed. Level L0 of the disable runbook.
-- called by: operators, by hand; the same as rollback 090.
-- locks:     the gate's row.
-- raises:    nothing of its own.

insert into dot_config (key, value)
values ('iu_core.route_worker_enabled', 'false')
on conflict (key) do update
set value = excluded.value;
