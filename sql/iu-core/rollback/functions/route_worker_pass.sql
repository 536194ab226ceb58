-- does:      removes the hot statement, as sql/iu-core/functions/route_worker_pass.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_worker_pass(text, integer, xid8, timestamptz, uuid, xid8, integer, text);
