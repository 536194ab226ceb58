-- does:      nothing: a delivery that was recalled has its attempt, and attempts are history. The event is emitted again, or
--            replayed, by whoever wants it delivered.
-- called by: the rollback of macro durable-live-route.
-- locks:     none.
-- raises:    nothing.

select
  'recalled deliveries' as check_id,
  'pass' as verdict,
  format('%s stay recalled, as history', count(*)) as detail
from iu_route_attempt
where iu_route_attempt.detail ? 'recalled_by';
