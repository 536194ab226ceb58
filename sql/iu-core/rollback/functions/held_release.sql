-- does:      removes the release of events that were held back for the order of their subject, as sql/iu-core/functions/held_release.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_route_held_release(text, integer, text, uuid[]);
