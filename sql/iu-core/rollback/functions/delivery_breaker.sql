-- does:      removes the circuit breaker, as sql/iu-core/functions/delivery_breaker.sql found the schema.
-- called by: the rollback of macro delivery-seam, after that of 011.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_breaker_note(text, integer, integer, integer, integer, text);
drop function fn_iu_route_breaker_admit(text, integer, integer);
