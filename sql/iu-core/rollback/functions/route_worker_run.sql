-- does:      removes the run of the route worker, as sql/iu-core/functions/route_worker_run.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_worker_run(text, integer);
