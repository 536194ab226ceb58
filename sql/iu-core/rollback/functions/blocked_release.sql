-- does:      removes the release of blocked events, as sql/iu-core/functions/blocked_release.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_blocked_release(text, integer, text, text);
drop function fn_iu_route_blocked(text);
