-- does:      tells whether the master gate is closed already; then this macro does not close it, and its way back does not
--            open it.
-- called by: macro disable-outbound, before step master-gate.
-- locks:     ACCESS SHARE on the table.
-- raises:    nothing.

select
  'L1 holds' as check_id,
  case when fn_iu_gate_open('iu_core.outbound_enabled') then 'fail' else 'pass' end as verdict,
  format('iu_core.outbound_enabled is %s', coalesce(quote_literal(dot_config.value), 'missing or null')) as detail
from (values ('iu_core.outbound_enabled')) as gate (key)
left join dot_config on dot_config.key = gate.key;
