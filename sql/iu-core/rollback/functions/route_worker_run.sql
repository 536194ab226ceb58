-- does:      removes the run and its single steps, as sql/iu-core/functions/route_worker_run.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_worker_run(text, integer);
drop function fn_iu_route_held_release(text, integer);
drop function fn_iu_route_worker_singly(text, integer);
drop function fn_iu_route_worker_advance(text, uuid);
drop function fn_iu_route_worker_fail(text, uuid, text, text, text);
drop function fn_iu_route_worker_step(text, uuid, text);
drop function fn_iu_route_worker_next(text);
drop function fn_iu_route_worker_open(text);
drop function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer);
drop function fn_iu_route_worker_claim(text);
drop function fn_iu_worker_no_op(text);
