-- does:      removes the beginning and the end of a replay's run, as sql/iu-core/functions/replay_open.sql found the schema.
-- called by: the rollback of macro dead-letter-replay, before that of 012, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_replay_abandon(text, text, text);
drop function fn_iu_replay_close(text, text, text, text);
drop function fn_iu_replay_end(text, text, text, text);
drop function fn_iu_replay_open(text, jsonb, text, text);
drop function fn_iu_replay_run_json(iu_replay_run);
drop function fn_iu_replay_approve(text, text, text);
drop function fn_iu_replay_stale_because(text);
drop function fn_iu_replay_route_change(text, text);
drop function fn_iu_replay_read(text);
drop function fn_iu_replay_find(text);
drop function fn_iu_replay_progress_json(iu_replay_progress);
