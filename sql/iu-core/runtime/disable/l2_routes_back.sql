-- does:      way back of L2: switches on the routes that L2 switched off, and no other.
-- called by: operators, before l1_master_gate_back.sql.
-- locks:     the routes' rows.
-- raises:    nothing of its own.

update iu_outbound_route
set
  enabled = true,
  disabled_by = null
where iu_outbound_route.disabled_by = 'L2';
