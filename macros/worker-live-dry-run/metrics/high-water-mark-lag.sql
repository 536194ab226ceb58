-- does:      age of the transaction that holds the high-water mark back, 0 where none does; called by: step observe;
--            locks: none; raises: nothing.
select coalesce((fn_iu_horizon_blocker() ->> 'age_seconds')::numeric, 0) as value;
