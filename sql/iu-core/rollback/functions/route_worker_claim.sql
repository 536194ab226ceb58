-- does:      removes the taking of a cursor, and the answer of a run that did nothing, as sql/iu-core/functions/route_worker_claim.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer);
drop function fn_iu_route_worker_claim(text);
drop function fn_iu_worker_no_op(text);
