-- does:      removes deciding by name, as sql/iu-core/functions/route_decide.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_check_deferred();
drop function fn_iu_passes_on(text);
drop function fn_iu_route_record_failure(text, uuid, text, integer, text, text, text);
drop function fn_iu_delivery_yield(text, uuid[]);
drop function fn_iu_failure_fingerprint(text, text, jsonb);
drop function fn_iu_route_decide(text, uuid[], text, boolean, jsonb);
