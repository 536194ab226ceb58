-- does:      removes the configuration table with its gates and the audit of their changes, as migration 001 found the schema.
-- called by: the rollback of macro iu-core-base.
-- locks:     ACCESS EXCLUSIVE on dot_config and iu_control_change.
-- raises:    nothing of its own.

drop table dot_config;
drop table iu_control_change;
drop function fn_iu_note_control_change();
drop function fn_iu_append_only();
drop function fn_iu_config_positive_int(text);
drop function fn_iu_gate_open(text);
drop function fn_iu_stamp_config();
