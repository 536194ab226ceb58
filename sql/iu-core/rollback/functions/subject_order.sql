-- does:      removes the rule of ordered routes, as sql/iu-core/functions/subject_order.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_prior(text, text, text, jsonpath, text, text, text, bigint);
drop function fn_iu_route_may_take(jsonpath, jsonb);
