-- does:      removes the rebase, as sql/iu-core/functions/outbox_rebase.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_outbox_rebase(text, text);
