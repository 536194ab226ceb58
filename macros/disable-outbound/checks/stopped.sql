-- does:      proves, read-only, that nothing outbound runs and nothing can start: S1 to S4.
-- called by: macros disable-outbound (verify) and disable-outbound-fully (before and after it changes something).
-- locks:     the exclusive side of the worker's advisory lock, under lock_timeout.
-- raises:    lock_not_available, naming the pids of runs that are still under way.

do $$
-- The worker may be missing, or a gate open; it is asked only where it can do nothing. The answers wait in a setting of
-- this transaction.
declare
  v_seen jsonb := '{}';
begin
  if to_regprocedure('fn_iu_route_worker_run(text,integer)') is not null
    and to_regprocedure('fn_iu_gate_wait(text)') is not null
  then
    v_seen := jsonb_build_object(
      'worker_gate_open', fn_iu_gate_open('iu_core.route_worker_enabled'),
      'master_gate_open', fn_iu_gate_open('iu_core.outbound_enabled'));
    if v_seen ->> 'worker_gate_open' = 'false' then
      v_seen := v_seen || jsonb_build_object('wait', fn_iu_gate_wait('iu_core.route_worker_enabled'));
    end if;
    if v_seen @> '{"worker_gate_open": false, "master_gate_open": false}' then
      v_seen := v_seen || jsonb_build_object('run', fn_iu_route_worker_run('iu_outbound_default', 1));
      if to_regprocedure('fn_iu_route_delivery_work(text[])') is not null then
        v_seen := v_seen || jsonb_build_object('delivery', fn_iu_route_delivery_work('{}') -> 'status');
      end if;
    end if;
  end if;
  perform set_config('iu_core.stop_seen', v_seen::text, true);
end
$$;

with
  seen as (
    select current_setting('iu_core.stop_seen')::jsonb as facts
  ),
  judged (check_id, verdict, detail) as (
    select
      'S1 worker gate',
      case when seen.facts ->> 'worker_gate_open' = 'false' then 'pass' else 'fail' end,
      case seen.facts ->> 'worker_gate_open'
        when 'false' then 'closed'
        when 'true' then 'open'
        else 'the worker is not installed'
      end
    from seen
    union all
    select
      'S2 master gate',
      case when seen.facts ->> 'master_gate_open' = 'false' then 'pass' else 'fail' end,
      case seen.facts ->> 'master_gate_open'
        when 'false' then 'closed'
        when 'true' then 'open'
        else 'the worker is not installed'
      end
    from seen
    union all
    select
      'S3 nothing runs',
      case
        when seen.facts #>> '{wait,status}' = 'closed' then 'pass'
        when seen.facts ? 'wait' then 'fail'
        else 'not_run'
      end,
      coalesce(
        format('no session holds the worker''s lock (waited %s ms for it)', seen.facts #>> '{wait,waited_ms}'),
        'not asked')
    from seen
    union all
    select
      'S4 nothing can start',
      case
        when seen.facts #>> '{run,status}' in ('master_gate_closed', 'worker_gate_closed')
          and seen.facts #>> '{run,seen}' = '0'
          and seen.facts #>> '{run,attempts_written}' = '0'
          and coalesce(seen.facts ->> 'delivery', 'master_gate_closed') in ('master_gate_closed', 'worker_gate_closed')
          then 'pass'
        when seen.facts ? 'run' then 'fail'
        else 'not_run'
      end,
      case
        when seen.facts ? 'run' then format('a run answers %s, seen=%s, attempts_written=%s',
            seen.facts #>> '{run,status}', seen.facts #>> '{run,seen}', seen.facts #>> '{run,attempts_written}')
          || coalesce(format('; a delivery answers %s', seen.facts ->> 'delivery'), '')
        else 'not asked: a gate is open, or there is no worker'
      end
    from seen
  )
select
  judged.check_id,
  judged.verdict,
  judged.detail
from judged
order by judged.check_id;
