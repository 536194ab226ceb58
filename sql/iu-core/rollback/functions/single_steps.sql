-- does:      removes a run in single steps, for a caller that times each event, and for a batch that raised, as sql/iu-core/functions/single_steps.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_worker_singly(text, integer);
drop function fn_iu_route_worker_advance(text, uuid);
drop function fn_iu_route_worker_fail(text, uuid, text, text, text);
drop function fn_iu_route_worker_step(text, uuid, text);
drop function fn_iu_route_worker_next(text);
drop function fn_iu_route_worker_open(text);
