-- does:      way back of L1: opens the master gate again.
-- called by: operators, before l0_worker_gate_back.sql.
-- locks:     the gate's row.
-- raises:    nothing of its own.

update dot_config
set value = 'true'
where dot_config.key = 'iu_core.outbound_enabled';
