-- does:      tells whether every route is off already; then this macro switches none off, and its way back none on.
-- called by: macro disable-outbound-fully, before step routes.
-- locks:     ACCESS SHARE on the table.
-- raises:    nothing.

select
  'L2 holds' as check_id,
  case when count(*) filter (where r.enabled) = 0 then 'pass' else 'fail' end as verdict,
  format('%s routes, %s enabled', count(*), count(*) filter (where r.enabled)) as detail
from iu_outbound_route as r;
