-- does:      removes what stands before every run, as sql/iu-core/functions/gates.sql found the schema.
-- called by: the rollback of macro event-worker, after that of 009, which refuses while history exists.
-- locks:     the functions.
-- raises:    dependent_objects_still_exist where something else uses one.

drop function fn_iu_gate_wait(text);
drop function fn_iu_gate_close(text, text, text);
drop function fn_iu_worker_enter(text);
drop function fn_iu_worker_lock_key();
