-- does:      tells whether every emitting trigger is off already; then this macro switches none off, and its way back none
--            on.
-- called by: macro disable-outbound-fully, before step triggers.
-- locks:     none.
-- raises:    nothing.

select
  'L3 holds' as check_id,
  case when count(*) filter (where t.tgenabled <> 'D') = 0 then 'pass' else 'fail' end as verdict,
  format('%s emitting triggers, %s of them fire', count(*), count(*) filter (where t.tgenabled <> 'D')) as detail
from pg_trigger as t
join pg_class as c on c.oid = t.tgrelid
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = current_schema()
  and starts_with(t.tgname, 'trg_iu_out_')
  and not t.tgisinternal;
