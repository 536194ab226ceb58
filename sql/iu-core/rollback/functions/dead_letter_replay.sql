-- does:      removes the replay of a dead letter, as sql/iu-core/functions/dead_letter_replay.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_dead_letter_replay(uuid, text, text);
