-- does:      second half of L0, in a transaction of its own, which may be read-only: waits until no run is left, and
--            reports it. Afterwards nothing runs and nothing can start.
-- called by: the runbook, after l0_worker_gate.sql has committed; macro disable-outbound.
-- locks:     the exclusive side of the worker's advisory lock, under lock_timeout.
-- raises:    lock_not_available, naming the pids that still run.

do $$
declare
  v_waited jsonb := '{}';
begin
  if to_regprocedure('fn_iu_gate_wait(text)') is not null then
    v_waited := fn_iu_gate_wait('iu_core.route_worker_enabled');
  end if;
  perform set_config('iu_core.l0_waited', v_waited::text, true);
end
$$;

select
  'L0 nothing runs' as check_id,
  case
    when waited.seen <> '{}' then 'pass'
    when to_regprocedure('fn_iu_route_worker_run(text,integer)') is null then 'pass'
    else 'not_run'
  end as verdict,
  case
    when waited.seen <> '{}' then format('no run is left (waited %s ms)', waited.seen ->> 'waited_ms')
    when to_regprocedure('fn_iu_route_worker_run(text,integer)') is null then 'no worker is installed'
    else 'fn_iu_gate_wait is missing, so nobody waited'
  end as detail
from (
  select current_setting('iu_core.l0_waited')::jsonb as seen
) as waited;
