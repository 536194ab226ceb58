-- does:      removes the parking and the discarding of dead letters, as sql/iu-core/functions/dead_letter_change.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_dead_letter_change(uuid[], text, text, text);
