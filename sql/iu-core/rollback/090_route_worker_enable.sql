-- does:      closes the worker gate again, at once; what the run recorded stays, as history.
-- called by: the rollback of macro worker-live-dry-run.
-- locks:     the gate's row.
-- raises:    nothing of its own.

insert into dot_config (key, value)
values ('iu_core.route_worker_enabled', 'false')
on conflict (key) do update
set value = excluded.value;
