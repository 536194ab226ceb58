-- does:      removes the claim of deliveries, as sql/iu-core/functions/delivery_claim.sql found the schema.
-- called by: the rollback of macro delivery-seam, after that of 011.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_delivery_return(uuid[]);
drop function fn_iu_route_delivery_renew(uuid[], integer);
drop function fn_iu_route_delivery_bury(text, integer);
drop function fn_iu_route_delivery_claim(text, integer, integer, uuid, text);
drop function fn_iu_route_delivery_work(text[]);
drop function fn_iu_route_lease_is_held(uuid);
drop function fn_iu_route_leases_held(text);
drop function fn_iu_delivery_session_leave();
drop function fn_iu_delivery_session_enter();
