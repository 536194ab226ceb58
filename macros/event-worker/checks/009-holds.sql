-- does:      tells whether migration 009 stands, every object of it, owned by iu_core_owner.
-- called by: macro event-worker, before step install-009.
-- locks:     none (catalog reads).
-- raises:    nothing.

with
  wanted (kind, name) as (
    values
      ('relation', 'v_iu_route_attempt_summary'),
      ('relation', 'v_iu_event_backlog'),
      ('relation', 'v_iu_route_dead_letter_open'),
      ('function', 'fn_iu_worker_lock_key()'),
      ('function', 'fn_iu_worker_enter(text)'),
      ('function', 'fn_iu_gate_close(text,text,text)'),
      ('function', 'fn_iu_gate_wait(text)'),
      ('function', 'fn_iu_dot_list_names(text,text)'),
      ('function', 'fn_iu_delivery_open(text)'),
      ('function', 'fn_iu_delivery_request(text,text,text,uuid,text,text,text,bigint,timestamp with time zone)'),
      ('function', 'fn_iu_delivery_is_queued(text)'),
      ('function', 'fn_iu_route_deliver(text,uuid,jsonb)'),
      ('function', 'fn_iu_route_seam_fails_closed()'),
      ('function', 'fn_iu_routes_now()'),
      ('function', 'fn_iu_route_takes(jsonpath,jsonb)'),
      ('function', 'fn_iu_route_may_take(jsonpath,jsonb)'),
      ('function', 'fn_iu_route_prior(text,text,text,jsonpath,text,text,text,bigint)'),
      ('function', 'fn_iu_route_decide(text,uuid[],text,boolean,jsonb)'),
      ('function', 'fn_iu_delivery_yield(text,uuid[])'),
      ('function', 'fn_iu_failure_fingerprint(text,text,jsonb)'),
      ('function', 'fn_iu_route_record_failure(text,uuid,text,integer,text,text,text)'),
      ('function', 'fn_iu_passes_on(text)'),
      ('function', 'fn_iu_check_deferred()'),
      ('function', 'fn_iu_route_worker_pass(text,integer,xid8,timestamp with time zone,uuid,xid8,integer,text)'),
      ('function', 'fn_iu_worker_no_op(text)'),
      ('function', 'fn_iu_route_worker_claim(text)'),
      ('function', 'fn_iu_route_worker_settled(iu_route_worker_cursor,xid8,integer)'),
      ('function', 'fn_iu_route_worker_open(text)'),
      ('function', 'fn_iu_route_worker_next(text)'),
      ('function', 'fn_iu_route_worker_step(text,uuid,text)'),
      ('function', 'fn_iu_route_worker_fail(text,uuid,text,text,text)'),
      ('function', 'fn_iu_route_worker_advance(text,uuid)'),
      ('function', 'fn_iu_route_worker_singly(text,integer)'),
      ('function', 'fn_iu_route_held_release(text,integer,text,uuid[])'),
      ('function', 'fn_iu_route_worker_run(text,integer)'),
      ('function', 'fn_iu_route_blocked(text)'),
      ('function', 'fn_iu_route_blocked_release(text,integer,text,text)'),
      ('function', 'fn_iu_route_dead_letter_replay(uuid,text,text)'),
      ('function', 'fn_iu_dead_letter_change(uuid[],text,text,text)'),
      ('function', 'fn_iu_uuid_v7_at(timestamp with time zone)'),
      ('function', 'fn_iu_retention_boundary(timestamp with time zone)'),
      ('function', 'fn_iu_retention_attach(timestamp with time zone,timestamp with time zone)'),
      ('function', 'fn_iu_retention_adopt(timestamp with time zone)'),
      ('function', 'fn_iu_retention_prepare(boolean)'),
      ('function', 'fn_iu_retention_stays_because(timestamp with time zone)'),
      ('function', 'fn_iu_retention_plan()'),
      ('function', 'fn_iu_retention_drop(text,text,text)'),
      ('function', 'fn_iu_horizon_blocker()'),
      ('function', 'fn_iu_route_worker_health()'),
      ('function', 'fn_iu_conservation()'),
      ('function', 'fn_iu_outbox_rebase(text,text)')
  ),
  found (kind, name, owner) as (
    select 'relation', c.relname::text, c.relowner
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    union all
    select 'function', wanted.name, p.proowner
    from wanted
    join pg_proc as p on p.oid = to_regprocedure(wanted.name)
    where wanted.kind = 'function'
    union all
    select 'trigger', t.tgname || ' on ' || c.relname, c.relowner
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
  )
select
  'migration 009 holds' as check_id,
  case when count(found.name) = count(*) then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not owned by iu_core_owner: '
      || string_agg(format('%s %s', wanted.kind, wanted.name), ', ' order by wanted.name)
        filter (where found.name is null),
    count(*) || ' objects stand') as detail
from wanted
left join found on found.kind = wanted.kind
  and found.name = wanted.name
  and found.owner = to_regrole('iu_core_owner')::oid;
