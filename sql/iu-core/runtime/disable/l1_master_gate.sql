-- does:      level L1 of the disable runbook: closes the master gate, behind which every outbound worker stands.
-- called by: the runbook; operators. Way back: l1_master_gate_back.sql.
-- locks:     the gate's row.
-- raises:    nothing of its own.

insert into dot_config (key, value)
values ('iu_core.outbound_enabled', 'false')
on conflict (key) do update
set value = excluded.value;
