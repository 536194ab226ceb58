-- does:      removes the steering of a replay, as sql/iu-core/functions/replay_steer.sql found the schema.
-- called by: the rollback of macro dead-letter-replay, before that of 012, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_replay_leave_out(text, jsonb, text, text);
drop function fn_iu_replay_steer(text, text, text, jsonb, text, text);
drop function fn_iu_replay_skip(iu_replay_progress, jsonb);
