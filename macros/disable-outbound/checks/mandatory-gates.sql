-- does:      tells whether the gates can be closed here: D1 and D2. It does not ask whether the worker is well, since one
--            that is ill must be stopped, and it is quick, since the worker goes on until it has answered.
-- called by: macro disable-outbound, step mandatory-gates.
-- locks:     none.
-- raises:    nothing; what is missing is a failing check.

with
  wanted (name, stands) as (
    values
      ('dot_config', to_regclass('dot_config') is not null),
      ('fn_iu_gate_open', to_regprocedure('fn_iu_gate_open(text)') is not null),
      ('fn_iu_gate_wait', to_regprocedure('fn_iu_gate_wait(text)') is not null),
      ('fn_iu_route_worker_run', to_regprocedure('fn_iu_route_worker_run(text,integer)') is not null)
  )
select
  'D1 worker installed' as check_id,
  case when bool_and(wanted.stands) then 'pass' else 'fail' end as verdict,
  coalesce(
    'missing: ' || string_agg(wanted.name, ', ' order by wanted.name) filter (where not wanted.stands)
      || '; run macro event-worker first',
    'gates, run and wait stand') as detail
from wanted;

select
  'D2 rights' as check_id,
  case
    when pg_is_in_recovery() then 'fail'
    when has_column_privilege(to_regclass('dot_config')::oid, 'key', 'insert')
      and has_column_privilege(to_regclass('dot_config')::oid, 'value', 'update')
      and has_function_privilege(to_regprocedure('fn_iu_gate_wait(text)')::oid, 'execute') then 'pass'
    else 'fail'
  end as verdict,
  format('%s may change gates: %s, may wait for the end of a run: %s',
    current_user,
    coalesce(has_column_privilege(to_regclass('dot_config')::oid, 'value', 'update')::text, 'no such table'),
    coalesce(has_function_privilege(to_regprocedure('fn_iu_gate_wait(text)')::oid, 'execute')::text, 'no such function')
  ) as detail;
