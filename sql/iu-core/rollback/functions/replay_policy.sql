-- does:      removes the policies of scheduled replays, as sql/iu-core/functions/replay_policy.sql found the schema.
-- called by: the rollback of macro dead-letter-replay, before that of 012, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_replay_plan_by_policy(text, text, text);
drop function fn_iu_replay_policy_remove(text, text, text);
drop function fn_iu_replay_policy_switch(text, boolean, text, text);
drop function fn_iu_replay_policy_find(text);
drop function fn_iu_replay_policy_set(text, jsonb, jsonb, integer, integer, integer, text, text, text);
drop function fn_iu_replay_policies();
drop function fn_iu_replay_policy_json(iu_replay_policy);
