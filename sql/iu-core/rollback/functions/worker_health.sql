-- does:      removes the health, as sql/iu-core/functions/worker_health.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_worker_health();
drop function fn_iu_horizon_blocker();
