-- does:      tells whether migration 011 stands: the guard fires for every session, and the CHECK is gone.
-- called by: macro delivery-seam, before step install-011.
-- locks:     none (catalog reads).
-- raises:    nothing.

select
  'migration 011 holds' as check_id,
  case
    when guard.fires and guard.owned and check_left.found = 0 then 'pass'
    else 'fail'
  end as verdict,
  format('guard fires always: %s, of iu_core_owner: %s; CHECK left: %s',
    coalesce(guard.fires::text, 'no guard'), coalesce(guard.owned::text, 'no guard'), check_left.found) as detail
from (
  select count(*) as found
  from pg_constraint as k
  where k.conrelid = to_regclass('iu_outbound_route')
    and k.conname = 'iu_outbound_route_safe_chk'
) as check_left
left join (
  select
    t.tgenabled = 'A' as fires,
    p.proowner = to_regrole('iu_core_owner')::oid as owned
  from pg_trigger as t
  join pg_proc as p on p.oid = t.tgfoid
  where t.tgrelid = to_regclass('iu_outbound_route')
    and t.tgname = 'trg_iu_outbound_route_safe_guard'
    and p.proname = 'fn_iu_outbound_route_safe_guard'
) as guard on true;
