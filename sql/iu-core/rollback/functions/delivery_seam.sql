-- does:      removes the delivery seam, as sql/iu-core/functions/delivery_seam.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_takes(jsonpath, jsonb);
drop function fn_iu_routes_now();
drop function fn_iu_route_seam_fails_closed();
drop function fn_iu_delivery_is_queued(text);
drop function fn_iu_delivery_request(text, text, text, uuid, text, text, text, bigint, timestamptz);
drop function fn_iu_route_deliver(text, uuid, jsonb);
drop function fn_iu_delivery_open(text);
drop function fn_iu_dot_list_names(text, text);
