-- does:      tells whether migration 010 and the functions of the seam stand: settings, table, functions, all of
--            iu_core_owner, and the dispatcher in the place of the seam that refused.
-- called by: macro delivery-seam, before step install-010.
-- locks:     ACCESS SHARE on dot_config.
-- raises:    undefined_table where the base is missing.

with
  wanted (kind, name) as (
    values
      ('setting', 'iu_core.delivery_enabled'),
      ('setting', 'iu_core.delivery_live_routes'),
      ('setting', 'iu_core.delivery_functions'),
      ('setting', 'iu_core.delivery_max_batch'),
      ('setting', 'iu_core.delivery_breaker_min_tries'),
      ('setting', 'iu_core.delivery_breaker_percent'),
      ('setting', 'iu_core.delivery_breaker_window_seconds'),
      ('setting', 'iu_core.delivery_breaker_wait_seconds'),
      ('setting', 'iu_core.delivery_breaker_max_wait_seconds'),
      ('relation', 'iu_route_breaker'),
      ('function', 'fn_iu_delivery_function_fault(text)'),
      ('function', 'fn_iu_delivery_call(text,uuid,jsonb)'),
      ('function', 'fn_iu_delivery_rival(text,uuid,jsonb)'),
      ('function', 'fn_iu_route_breaker_admit(text,integer,integer)'),
      ('function', 'fn_iu_route_breaker_note(text,integer,integer,integer,integer,text)'),
      ('function', 'fn_iu_delivery_session_enter()'),
      ('function', 'fn_iu_delivery_session_leave()'),
      ('function', 'fn_iu_route_leases_held(text)'),
      ('function', 'fn_iu_route_lease_is_held(uuid)'),
      ('function', 'fn_iu_route_lease_is_held(uuid)'),
      ('function', 'fn_iu_route_delivery_work(text[])'),
      ('function', 'fn_iu_route_delivery_claim(text,integer,integer,uuid,text)'),
      ('function', 'fn_iu_route_delivery_bury(text,integer)'),
      ('function', 'fn_iu_route_delivery_renew(uuid[],integer)'),
      ('function', 'fn_iu_route_delivery_return(uuid[])'),
      ('function', 'fn_iu_route_delivery_settle(text,uuid,jsonb)'),
      ('function', 'fn_iu_dead_letters_resolve(text[],text[],text[],jsonb[])'),
      ('function', 'fn_iu_route_delivery_followers(text,text,uuid[])'),
      ('function', 'fn_iu_route_delivery_recall(text,integer,text,text)'),
      ('dispatcher', 'fn_iu_route_deliver(text,uuid,jsonb)')
  ),
  found (kind, name, owner) as (
    select 'relation', c.relname::text, c.relowner
    from pg_class as c
    where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
    union all
    select wanted.kind, wanted.name, p.proowner
    from wanted
    join pg_proc as p on p.oid = to_regprocedure(wanted.name)
    where wanted.kind = 'function'
      or wanted.kind = 'dispatcher' and p.prosrc ~ 'fn_iu_delivery_call'
    union all
    select 'setting', dot_config.key, to_regrole('iu_core_owner')::oid
    from dot_config
    where dot_config.value is not null
  )
select
  'migration 010 holds' as check_id,
  case when count(found.name) = count(*) then 'pass' else 'fail' end as verdict,
  coalesce('missing, or not owned by iu_core_owner: '
      || string_agg(format('%s %s', wanted.kind, wanted.name), ', ' order by wanted.name)
        filter (where found.name is null),
    count(*) || ' objects and settings stand') as detail
from wanted
left join found on found.kind = wanted.kind
  and found.name = wanted.name
  and found.owner = to_regrole('iu_core_owner')::oid;
