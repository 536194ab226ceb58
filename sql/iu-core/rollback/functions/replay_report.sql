-- does:      removes the evidence of a replay, as sql/iu-core/functions/replay_report.sql found the schema.
-- called by: the rollback of macro dead-letter-replay, before that of 012, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_replay_report(text);
