-- does:      removes the leaving of what has long been decided, as sql/iu-core/functions/retention.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_retention_drop(text, text, text);
drop function fn_iu_retention_plan();
drop function fn_iu_retention_stays_because(timestamptz);
