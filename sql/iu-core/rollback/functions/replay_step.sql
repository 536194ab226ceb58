-- does:      removes the executing of a plan, as sql/iu-core/functions/replay_step.sql found the schema.
-- called by: the rollback of macro dead-letter-replay, before that of 012, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_replay_fail(text, text, integer, text, text);
drop function fn_iu_replay_try(text, text, integer[]);
drop function fn_iu_replay_waiting(text, integer[]);
drop function fn_iu_replay_next(text, text, text, integer);
drop function fn_iu_replay_step(text, text, text, integer, integer);
drop function fn_iu_replay_canary(iu_replay_progress, integer);
drop function fn_iu_replay_room(iu_replay_progress);
drop function fn_iu_replay_over_limit(iu_replay_progress);
drop function fn_iu_replay_note_gate(iu_replay_progress, text);
drop function fn_iu_replay_gate_of_queued(text);
drop function fn_iu_replay_gate(text, integer);
drop function fn_iu_replay_enter(text, text);
drop function fn_iu_replay_try_places(iu_replay_progress, integer[]);
drop function fn_iu_replay_results(iu_replay_progress, integer[], text[], integer[], text, text);
drop function fn_iu_replay_judge(iu_replay_progress, integer[]);
drop function fn_iu_replay_pick(iu_replay_progress, integer, integer);
drop function fn_iu_replay_collect(iu_replay_progress, boolean);
drop function fn_iu_replay_keep(iu_replay_progress);
drop function fn_iu_replay_record(iu_replay_progress, integer[], text[], text[]);
drop function fn_iu_replay_followers(text, integer[], integer[]);
