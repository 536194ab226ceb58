-- does:      opens the worker gate and lets the worker run once, in one transaction; opening arms nothing by itself.
-- called by: macro worker-live-dry-run.
-- locks:     the gate's row; those of one run.
-- raises:    lock_not_available where another runner holds the cursor (try again); SL008 where the run did not happen.

update dot_config
set value = 'true'
where dot_config.key = 'iu_core.route_worker_enabled';

do $$
declare
  v_run constant jsonb := fn_iu_route_worker_run('iu_outbound_default', 100);
begin
  if v_run ->> 'status' in ('busy', 'gate_closing') then
    raise exception using
      errcode = 'lock_not_available',
      message = format('the first run found the worker %s', v_run ->> 'status'),
      hint = 'Try again. The gate is as it was.';
  elsif v_run ->> 'status' <> 'ran' then
    raise exception using
      errcode = 'SL008',
      message = format('the first run answered %s', v_run ->> 'status'),
      hint = 'It was expected to run: register the worker (060) and open the master gate. The gate is as it was.';
  end if;
end
$$;
