-- does:      removes the partitions of outbox and audit along time, as sql/iu-core/functions/partitions.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_retention_prepare(boolean);
drop function fn_iu_retention_adopt(timestamptz);
drop function fn_iu_retention_attach(timestamptz, timestamptz);
drop function fn_iu_retention_boundary(timestamptz);
drop function fn_iu_uuid_v7_at(timestamptz);
