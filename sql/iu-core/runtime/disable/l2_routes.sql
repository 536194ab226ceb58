-- does:      level L2 of the disable runbook: switches every enabled route off and marks it, so that the way back finds
--            exactly these.
-- called by: the runbook, after L0 and L1 (a worker that still ran would find no route for its events).
-- locks:     the routes' rows.
-- raises:    nothing of its own.

update iu_outbound_route
set
  enabled = false,
  disabled_by = 'L2'
where iu_outbound_route.enabled;
