-- does:      tells whether the worker is live already: its gate is open and a run is recorded.
-- called by: macro worker-live-dry-run, before step open-gate.
-- locks:     ACCESS SHARE on both tables.
-- raises:    nothing.

select
  'runtime 090 holds' as check_id,
  case
    when fn_iu_gate_open('iu_core.route_worker_enabled') and cursors.last_run_summary ->> 'status' = 'ran' then 'pass'
    else 'fail'
  end as verdict,
  format('worker gate open: %s; last run: %s', fn_iu_gate_open('iu_core.route_worker_enabled')::text,
    coalesce(cursors.last_run_at::text, 'none')) as detail
from (values (1)) as once
left join iu_route_worker_cursor as cursors on cursors.cursor_code = 'iu_outbound_default';
