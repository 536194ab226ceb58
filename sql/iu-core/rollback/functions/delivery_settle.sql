-- does:      removes the settling of deliveries, as sql/iu-core/functions/delivery_settle.sql found the schema.
-- called by: the rollback of macro delivery-seam, after that of 011.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_delivery_recall(text, integer, text, text);
drop function fn_iu_route_delivery_followers(text, text, uuid[]);
drop function fn_iu_route_delivery_settle(text, uuid, jsonb);
drop function fn_iu_dead_letters_resolve(text[], text[], text[], jsonb[]);
