-- does:      removes the governed emitter and its limit, as migration 003 found the schema.
-- called by: the rollback of macro iu-core-base.
-- locks:     none beyond the removed objects.
-- raises:    nothing of its own.

drop function fn_iu_emit_event(text, text, text, uuid, jsonb, text);
delete from dot_config where dot_config.key = 'iu_core.event_payload_max_bytes';
