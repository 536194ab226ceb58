-- does:      removes the making of replay plans, as sql/iu-core/functions/replay_plan.sql found the schema.
-- called by: the rollback of macro dead-letter-replay, before that of 012, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_replay_tried(text, jsonb);
drop function fn_iu_replay_failure(uuid);
drop function fn_iu_replay_samples(text, integer);
drop function fn_iu_replay_plan(jsonb, jsonb, text, text);
drop function fn_iu_replay_freeze(jsonb, jsonb, interval, text, text, text);
drop function fn_iu_replay_plan_json(text);
drop function fn_iu_replay_mode(text);
drop function fn_iu_replay_route_digest(iu_outbound_route);
drop function fn_iu_replay_filter_checked(jsonb);
drop function fn_iu_replay_policy_checked(jsonb);
drop function fn_iu_replay_keys_known(jsonb, text, text[]);
drop function fn_iu_replay_texts(jsonb, text, boolean);
drop function fn_iu_replay_number(jsonb, text, numeric, numeric, numeric, boolean);
drop function fn_iu_replay_refuse(text, text, text, text, jsonb);
