-- does:      puts the list of live routes back as runtime 140 found it, so that the route is allowed as before the macro. It
--            opens nothing: gate and route stay closed and in dry run.
-- called by: the rollback of macros delivery-live and durable-live-route.
-- locks:     the list's row.
-- raises:    nothing of its own.

update dot_config
set value = emptied.was
from (
  select iu_control_change.was ->> 'value' as was
  from iu_control_change
  where iu_control_change.control = 'config'
    and iu_control_change.name = 'iu_core.delivery_live_routes'
    and iu_control_change.became ->> 'value' = ''
  order by iu_control_change.change_no desc
  limit 1
) as emptied
where dot_config.key = 'iu_core.delivery_live_routes'
  and dot_config.value = '';
