-- does:      proves, read-only, that the worker is installed, inert and safe: W1 to W9. On a database where 090 has opened
--            the gate since, W4, W5 and W9 say so and accept it as history.
-- called by: macro event-worker, step verify.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    undefined_function where the worker is not installed.

with
  wanted (name) as (
    values ('iu_route_worker_cursor'), ('iu_route_dead_letter'), ('iu_probe_marker')
  ),
  fault as (
    select 'missing: ' || wanted.name as what
    from wanted
    where to_regclass(wanted.name) is null
    union all
    select 'a probe could be committed: trg_iu_probe_refuse_commit is not deferred and ENABLE ALWAYS'
    where not exists (
      select
      from pg_trigger as t
      where t.tgrelid = to_regclass('iu_probe_marker')
        and t.tgname = 'trg_iu_probe_refuse_commit'
        and t.tgenabled = 'A'
        and t.tginitdeferred
    )
  )
select
  'W1 substrate' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(string_agg(fault.what, '; '), 'cursor, dead letters and probe marker stand, and no probe can be committed') as detail
from fault;

with
  wanted (name) as (
    values
      ('fn_iu_route_worker_run(text,integer)'),
      ('fn_iu_route_deliver(text,uuid,jsonb)'),
      ('fn_iu_route_dead_letter_replay(uuid,text,text)'),
      ('fn_iu_route_worker_health()'),
      ('fn_iu_conservation()')
  ),
  judged as (
    select
      wanted.name,
      case
        when p.oid is null then 'missing'
        when p.proconfig is distinct from array['search_path=' || quote_ident(current_schema()) || ', pg_temp']
          then 'search path not pinned'
        when has_function_privilege('public', p.oid, 'execute') then 'PUBLIC may execute it'
      end as fault
    from wanted
    left join pg_proc as p on p.oid = to_regprocedure(wanted.name)
  )
select
  'W2 functions' as check_id,
  case when count(judged.fault) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(string_agg(judged.name || ': ' || judged.fault, '; ') filter (where judged.fault is not null),
    count(*) || ' functions stand, path pinned, closed to PUBLIC') as detail
from judged;

with
  wanted (name) as (
    values ('v_iu_route_attempt_summary'), ('v_iu_event_backlog'), ('v_iu_route_dead_letter_open')
  )
select
  'W3 views' as check_id,
  case when count(*) = count(c.oid) filter (where c.relkind = 'v') then 'pass' else 'fail' end as verdict,
  coalesce('missing: ' || string_agg(wanted.name, ', ') filter (where c.relkind is distinct from 'v'),
    count(*) || ' views stand') as detail
from wanted
left join pg_class as c on c.oid = to_regclass(wanted.name);

select
  'W4 worker gate' as check_id,
  case
    when gate.value = 'false' then 'pass'
    when gate.value = 'true' and cursors.last_run_at is not null then 'pass'
    else 'fail'
  end as verdict,
  case
    when gate.value = 'false' then 'closed: the worker is inert'
    when gate.value = 'true' and cursors.last_run_at is not null
      then format('open since a run at %s: history, accepted', cursors.last_run_at)
    else format('iu_core.route_worker_enabled is %s; false was expected', coalesce(quote_literal(gate.value), 'missing'))
  end as detail
from (values (1)) as once
left join dot_config as gate on gate.key = 'iu_core.route_worker_enabled'
left join iu_route_worker_cursor as cursors on cursors.cursor_code = 'iu_outbound_default';

select
  'W5 cursor' as check_id,
  case
    when cursors.cursor_code is null then 'fail'
    when cursors.system_identifier <> fn_iu_system_identifier() then 'fail'
    when cursors.cursor_event_id is not null and history.attempts = 0 then 'fail'
    else 'pass'
  end as verdict,
  case
    when cursors.cursor_code is null then 'iu_outbound_default is not registered'
    when cursors.system_identifier <> fn_iu_system_identifier() then 'iu_outbound_default counts in another cluster'
    when cursors.cursor_event_id is null then 'iu_outbound_default is registered, keyset NULL'
    when history.attempts = 0 then 'iu_outbound_default has moved, and no attempt says why'
    else format('iu_outbound_default stands after %s attempts: history, accepted', history.attempts)
  end as detail
from (
  select
    (select count(*) from iu_route_attempt)
      + (select coalesce(sum(iu_outbox_partition.attempts), 0) from iu_outbox_partition) as attempts
) as history
left join iu_route_worker_cursor as cursors on cursors.cursor_code = 'iu_outbound_default';

with
  guard as (
    select pg_constraint.conname::text as name
    from pg_constraint
    where pg_constraint.conrelid = 'iu_outbound_route'::regclass
      and pg_constraint.conname = 'iu_outbound_route_safe_chk'
      and pg_constraint.convalidated
    union all
    select pg_trigger.tgname::text
    from pg_trigger
    where pg_trigger.tgrelid = 'iu_outbound_route'::regclass
      and pg_trigger.tgname = 'trg_iu_outbound_route_safe_guard'
      and pg_trigger.tgenabled = 'A'
  )
select
  'W6 routes are safe' as check_id,
  case
    when (select count(*) from guard) = 1 and count(*) filter (where r.enabled and not r.dry_run) = 0 then 'pass'
    else 'fail'
  end as verdict,
  format('guard: %s; %s routes, %s of them enabled and live',
    coalesce((select string_agg(guard.name, ', ') from guard), 'none'),
    count(*), count(*) filter (where r.enabled and not r.dry_run)) as detail
from iu_outbound_route as r;

select
  'W7 seam fails closed' as check_id,
  case when fn_iu_route_seam_fails_closed() then 'pass' else 'fail' end as verdict,
  'fn_iu_route_deliver, called for nothing, must raise feature_not_supported' as detail;

with
  guarded (relation, trigger_name) as (
    values
      ('event_outbox', 'trg_iu_outbox_append_only'),
      ('event_outbox', 'trg_iu_outbox_no_truncate'),
      ('iu_route_attempt', 'trg_iu_attempt_append_only'),
      ('iu_route_attempt', 'trg_iu_attempt_no_truncate'),
      ('iu_route_dead_letter', 'trg_iu_dead_letter_guard'),
      ('iu_route_dead_letter', 'trg_iu_dead_letter_no_delete'),
      ('iu_route_dead_letter', 'trg_iu_dead_letter_no_truncate')
  ),
  fault as (
    select format('%s on %s does not fire always', guarded.trigger_name, guarded.relation) as what
    from guarded
    left join pg_trigger as t on t.tgrelid = to_regclass(guarded.relation)
      and t.tgname = guarded.trigger_name
    where t.tgenabled is distinct from 'A'
    union all
    select format('%s may change %s', member.role_name, audited.relation)
    from (values ('iu_core_emitter'), ('iu_core_worker'), ('iu_core_operator'), ('iu_core_auditor')) as member (role_name)
    cross join (select distinct guarded.relation from guarded) as audited
    where to_regclass(audited.relation) is not null
      and has_table_privilege(member.role_name, to_regclass(audited.relation), 'update, delete, truncate')
  )
select
  'W8 audit is append-only' as check_id,
  case when count(*) = 0 then 'pass' else 'fail' end as verdict,
  coalesce(string_agg(fault.what, '; '), 'every guard fires always, and no role may change audit or outbox') as detail
from fault;

with
  tried as materialized (
    -- With an open gate a run would claim; it is called only where it must refuse.
    select
      case
        when not fn_iu_gate_open('iu_core.route_worker_enabled') or not fn_iu_gate_open('iu_core.outbound_enabled')
          then fn_iu_route_worker_run('iu_outbound_default', 1)
      end as run
  )
select
  'W9 inert' as check_id,
  case
    when tried.run is null then 'pass'
    when tried.run ->> 'status' in ('worker_gate_closed', 'master_gate_closed', 'gate_closing')
      and tried.run ->> 'seen' = '0' and tried.run ->> 'attempts_written' = '0' then 'pass'
    else 'fail'
  end as verdict,
  case
    when tried.run is null then 'both gates are open (see W4); no run was tried'
    else format('a run answers %s, seen=%s, attempts_written=%s',
      tried.run ->> 'status', tried.run ->> 'seen', tried.run ->> 'attempts_written')
  end
  || format('; attempts %s, dead letters %s',
    (select count(*) from iu_route_attempt), (select count(*) from iu_route_dead_letter)) as detail
from tried;
