-- does:      installs the taking of queued deliveries under a lease.
-- called by: macro delivery-seam.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_delivery_session_enter()
  returns boolean
  language sql
  volatile
  security definer
  set search_path from current
as $$
-- does: takes the shared side of the worker's lock for this session, by try: while it holds it, a gate that is being closed
--       waits. False while one is being closed.
-- called by: a worker, before it claims; it stays in until nothing is under way.
-- locks: shared side of the worker's advisory lock, until fn_iu_delivery_session_leave or the end of the session.
-- raises: nothing.
select pg_try_advisory_lock_shared(fn_iu_worker_lock_key())
$$;
comment on function fn_iu_delivery_session_enter() is
  'Layer delivery. Lets a session have deliveries under way; false while a gate is being closed.';

create function fn_iu_delivery_session_leave()
  returns void
  language sql
  volatile
  security definer
  set search_path from current
as $$
-- does: lets go of the lock of fn_iu_delivery_session_enter; called by: a worker with nothing under way.
-- locks: none; raises: nothing.
select pg_advisory_unlock_shared(fn_iu_worker_lock_key())
$$;
comment on function fn_iu_delivery_session_leave() is
  'Layer delivery. Ends what fn_iu_delivery_session_enter began.';

create function fn_iu_route_leases_held(p_route_code text)
  returns uuid[]
  language sql
  volatile
  set search_path from current
as $$
-- does: the leases that are held now, of a route or (null) of all; called by: work, claim, recall; locks: none; raises: nothing.
select coalesce(array_agg(iu_route_lease.lease_token), '{}')
from iu_route_lease
where (p_route_code is null or iu_route_lease.route_code = p_route_code)
  and iu_route_lease.leased_until > clock_timestamp()
$$;
comment on function fn_iu_route_leases_held(text) is 'Layer delivery. The leases that are held now, of a route or of all.';

create function fn_iu_route_lease_is_held(p_lease_token uuid)
  returns boolean
  language sql
  volatile
  set search_path from current
as $$
-- does: whether a lease is held at this very moment: it looks with a snapshot of its own, so that inside a statement that
--       locks rows it sees the lease of a claim that was committed since that statement began.
-- called by: claim, bury, recall, for a row whose lease was not held when they began; locks: none; raises: nothing.
select exists (
  select
  from iu_route_lease
  where iu_route_lease.lease_token = p_lease_token
    and iu_route_lease.leased_until > clock_timestamp()
)
$$;
comment on function fn_iu_route_lease_is_held(uuid) is
  'Layer delivery. Whether a lease is held at this moment, seen with a snapshot of its own.';

create function fn_iu_route_delivery_work(p_kinds text[])
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
-- does: whether deliveries may be claimed now, and for each route with queued ones what is to be done: ready, later,
--       half_open (one probe may go), breaker_open, not_live (switched off, in dry run, or not on the list), unbuilt (its
--       kind is not among those given), removed (a claim makes dead letters of what is queued).
-- called by: the delivery activity, about once a second.
-- locks: shared side of the worker's advisory lock, by try, until the transaction ends.
-- raises: SL008 on a standby, or under REPEATABLE READ outside a probe.
declare
  v_status text := fn_iu_worker_enter('a delivery');
  v_held constant uuid[] := fn_iu_route_leases_held(null);
begin
  if v_status is null and not fn_iu_gate_open('iu_core.delivery_enabled') then
    v_status := 'delivery_gate_closed';
  end if;
  return jsonb_build_object(
    'status', coalesce(v_status, 'open'),
    'routes', coalesce((
      with recursive
        queued as (
          (
            select iu_route_delivery.route_code
            from iu_route_delivery
            order by iu_route_delivery.route_code || ''
            limit 1
          )
          union all
          select next_route.route_code
          from queued
          cross join lateral (
            select iu_route_delivery.route_code
            from iu_route_delivery
            where iu_route_delivery.route_code || '' > queued.route_code
            order by iu_route_delivery.route_code || ''
            limit 1
          ) as next_route
        ),
        judged as (
          select
            queued.route_code,
            route.target_kind,
            route.target_ref,
            route.config,
            case
              when route.route_code is null then 'removed'
              when not route.enabled or route.dry_run
                or not fn_iu_dot_list_names('iu_core.delivery_live_routes', queued.route_code) then 'not_live'
              when route.target_kind <> all (p_kinds) then 'unbuilt'
              when breaker.state <> 'closed' and breaker.probe_at > clock_timestamp() then 'breaker_open'
              when first_due.due_at > clock_timestamp() or first_due.due_at is null then 'later'
              when breaker.state <> 'closed' then 'half_open'
              else 'ready'
            end as state,
            breaker.probe_at,
            first_due.due_at
          from queued
          left join iu_outbound_route as route on route.route_code = queued.route_code
          left join iu_route_breaker as breaker on breaker.route_code = queued.route_code
          left join lateral (
            select iu_route_delivery.due_at
            from iu_route_delivery
            where iu_route_delivery.route_code || '' = queued.route_code
              and (iu_route_delivery.lease_token is null or iu_route_delivery.lease_token <> all (v_held))
            order by iu_route_delivery.due_at
            limit 1
          ) as first_due on true
        )
      select jsonb_agg(jsonb_build_object(
        'route_code', judged.route_code,
        'target_kind', judged.target_kind,
        'target_ref', judged.target_ref,
        'config', judged.config,
        'state', judged.state,
        'due_in_ms', greatest(0, ceil(1000 * extract(epoch from case judged.state
          when 'breaker_open' then judged.probe_at
          when 'later' then coalesce(judged.due_at, clock_timestamp() + interval '1 second')
        end - clock_timestamp())))
      ))
      from judged
    ), '[]')
  );
end
$$;
comment on function fn_iu_route_delivery_work(text[]) is
  'Layer delivery. Whether deliveries may be claimed now, and what is to be done for each route that has queued ones.';

create function fn_iu_route_delivery_claim(
  p_route_code text,
  p_limit integer,
  p_lease_ms integer,
  p_lease_token uuid,
  p_worker text
)
  returns table (event_id uuid, attempt_no integer, tries integer, request jsonb, payload text, body bytea)
  language plpgsql
  volatile
  security definer
  set search_path from current
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
-- does: leases deliveries of a route that are due, the longest due first, and answers what their target is to be given; the
--       target is the route's as it is now. No row while a gate is closed, the route is not live, or its breaker is open.
--       Of a route that was deleted it makes dead letters.
-- called by: the delivery activity; the caller commits before it delivers.
-- locks: shared side of the worker's advisory lock, by try, until the transaction ends; the rows it leases, passing over
--        those that another claim has.
-- raises: SL008 for a bad limit or lease, on a standby, or under REPEATABLE READ outside a probe.
declare
  v_max_batch constant integer := fn_iu_config_positive_int('iu_core.delivery_max_batch');
  v_held uuid[];
  v_now timestamptz;
  v_route iu_outbound_route;
  v_limit integer;
begin
  if (p_limit between 1 and v_max_batch) is not true
    or (p_lease_ms between 1000 and 3600000) is not true
    or p_lease_token is null
    or (p_worker ~ '\S') is not true
  then
    raise exception using
      errcode = 'SL008',
      message = format('a claim asks for %s deliveries for %s ms, as %s', coalesce(p_limit::text, 'null'),
        coalesce(p_lease_ms::text, 'null'), coalesce(quote_literal(p_worker), 'null')),
      hint = format('1 to %s deliveries (dot_config iu_core.delivery_max_batch), 1000 to 3600000 ms, a token and a name. '
        'Nothing was claimed.', v_max_batch);
  end if;
  if fn_iu_worker_enter('a claim of deliveries') is not null or not fn_iu_gate_open('iu_core.delivery_enabled') then
    return;
  end if;
  select iu_outbound_route.*
  into v_route
  from iu_outbound_route
  where iu_outbound_route.route_code = p_route_code;
  if not found then
    perform fn_iu_route_delivery_bury(p_route_code, p_limit);
    return;
  end if;
  if not v_route.enabled or v_route.dry_run
    or not fn_iu_dot_list_names('iu_core.delivery_live_routes', p_route_code)
  then
    return;
  end if;
  v_limit := fn_iu_route_breaker_admit(p_route_code, p_limit, p_lease_ms);
  if v_limit = 0 then
    return;
  end if;
  -- What ended long ago is tidied away, by whichever claim comes to it: no claim waits for another one's tidying.
  with
    over as materialized (
      select iu_route_lease.lease_token
      from iu_route_lease
      where iu_route_lease.leased_until < clock_timestamp() - interval '1 hour'
      for update skip locked
    )
  delete from iu_route_lease
  using over
  where iu_route_lease.lease_token = over.lease_token;
  v_held := fn_iu_route_leases_held(p_route_code);
  -- Before the statement: inside it the clock would be no bound of the index, and what is due later would be read, too.
  v_now := clock_timestamp();
  return query
    with
      due as materialized (
        select iu_route_delivery.ctid as place
        from iu_route_delivery
        where iu_route_delivery.route_code || '' = p_route_code
          and iu_route_delivery.due_at <= v_now
          and (
            iu_route_delivery.lease_token is null
            or iu_route_delivery.lease_token <> all (v_held)
              and not fn_iu_route_lease_is_held(iu_route_delivery.lease_token)
          )
        order by iu_route_delivery.due_at
        limit v_limit
        for update skip locked
      ),
      leased as (
        insert into iu_route_lease (lease_token, route_code, leased_by, leased_until)
        select p_lease_token, p_route_code, p_worker, clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0)
        where exists (select from due)
      )
    update iu_route_delivery
    set
      lease_token = p_lease_token,
      target_kind = v_route.target_kind,
      target_ref = v_route.target_ref,
      body = case when iu_route_delivery.target_kind = v_route.target_kind then iu_route_delivery.body end,
      body_sha256 = case when iu_route_delivery.target_kind = v_route.target_kind then iu_route_delivery.body_sha256 end
    from due
    where iu_route_delivery.ctid = due.place
    returning
      iu_route_delivery.event_id,
      iu_route_delivery.attempt_no,
      iu_route_delivery.tries,
      case
        when iu_route_delivery.request ->> 'target_ref' = v_route.target_ref
          and iu_route_delivery.request ->> 'target_kind' = v_route.target_kind then iu_route_delivery.request
        else iu_route_delivery.request
          || jsonb_build_object('target_kind', v_route.target_kind, 'target_ref', v_route.target_ref)
      end,
      iu_route_delivery.safe_payload::text,
      iu_route_delivery.body;
end
$$;
comment on function fn_iu_route_delivery_claim(text, integer, integer, uuid, text) is
  'Layer delivery. Leases deliveries of a route that are due; returns what their target is to be given.';

create function fn_iu_route_delivery_bury(p_route_code text, p_limit integer)
  returns integer
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: makes dead letters (route_removed) of what is queued for a route that was deleted, and of nothing else.
-- called by: fn_iu_route_delivery_claim.
-- locks: the rows, passing over those that somebody has; raises: nothing.
declare
  v_held constant uuid[] := fn_iu_route_leases_held(p_route_code);
  v_row iu_route_delivery;
  v_buried integer := 0;
begin
  for v_row in
    select iu_route_delivery.*
    from iu_route_delivery
    where iu_route_delivery.route_code || '' = p_route_code
      and (
        iu_route_delivery.lease_token is null
        or iu_route_delivery.lease_token <> all (v_held)
          and not fn_iu_route_lease_is_held(iu_route_delivery.lease_token)
      )
    order by iu_route_delivery.due_at
    limit p_limit
    for update skip locked
  loop
    perform fn_iu_route_record_failure(
      v_row.worker_code, v_row.event_id, v_row.route_code, v_row.attempt_no, 'route_removed', null,
      'the route was deleted while the delivery was queued');
    delete from iu_route_delivery
    where iu_route_delivery.event_id = v_row.event_id
      and iu_route_delivery.route_code = v_row.route_code;
    v_buried := v_buried + 1;
  end loop;
  return v_buried;
end
$$;
comment on function fn_iu_route_delivery_bury(text, integer) is
  'Layer delivery. Makes dead letters of what is queued for a deleted route; returns how many.';

create function fn_iu_route_delivery_renew(p_lease_tokens uuid[], p_lease_ms integer)
  returns uuid[]
  language sql
  volatile
  security definer
  set search_path from current
as $$
-- does: holds leases for longer, from now on; answers the tokens that are still held. A lease that has run out is not
--       renewed: somebody else may have its deliveries.
-- called by: the delivery activity; locks: the rows; raises: nothing.
with
  renewed as (
    update iu_route_lease
    set leased_until = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0)
    where iu_route_lease.lease_token = any (p_lease_tokens)
      and iu_route_lease.leased_until > clock_timestamp()
    returning iu_route_lease.lease_token
  )
select coalesce(array_agg(renewed.lease_token), '{}')
from renewed
$$;
comment on function fn_iu_route_delivery_renew(uuid[], integer) is
  'Layer delivery. Renews leases that have not run out; returns the tokens that are still held.';

create function fn_iu_route_delivery_return(p_lease_tokens uuid[])
  returns integer
  language sql
  volatile
  security definer
  set search_path from current
as $$
-- does: ends leases: what is not settled of them is due as before, and no attempt is written. Answers how many there were.
-- called by: the delivery activity, when it ends; locks: the rows; raises: nothing.
with
  returned as (
    delete from iu_route_lease
    where iu_route_lease.lease_token = any (p_lease_tokens)
    returning 1
  )
select count(*)::integer
from returned
$$;
comment on function fn_iu_route_delivery_return(uuid[]) is
  'Layer delivery. Ends leases; what is not settled of them may be claimed again at once. Returns how many there were.';

alter function fn_iu_delivery_session_enter() owner to iu_core_owner;
alter function fn_iu_delivery_session_leave() owner to iu_core_owner;
alter function fn_iu_route_leases_held(text) owner to iu_core_owner;
alter function fn_iu_route_lease_is_held(uuid) owner to iu_core_owner;
alter function fn_iu_route_delivery_work(text[]) owner to iu_core_owner;
alter function fn_iu_route_delivery_claim(text, integer, integer, uuid, text) owner to iu_core_owner;
alter function fn_iu_route_delivery_bury(text, integer) owner to iu_core_owner;
alter function fn_iu_route_delivery_renew(uuid[], integer) owner to iu_core_owner;
alter function fn_iu_route_delivery_return(uuid[]) owner to iu_core_owner;

revoke all on function fn_iu_delivery_session_enter() from public;
revoke all on function fn_iu_delivery_session_leave() from public;
revoke all on function fn_iu_route_leases_held(text) from public;
revoke all on function fn_iu_route_lease_is_held(uuid) from public;
revoke all on function fn_iu_route_delivery_work(text[]) from public;
revoke all on function fn_iu_route_delivery_claim(text, integer, integer, uuid, text) from public;
revoke all on function fn_iu_route_delivery_bury(text, integer) from public;
revoke all on function fn_iu_route_delivery_renew(uuid[], integer) from public;
revoke all on function fn_iu_route_delivery_return(uuid[]) from public;
grant execute on function fn_iu_delivery_session_enter() to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_delivery_session_leave() to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_delivery_work(text[]) to iu_core_worker, iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_route_delivery_claim(text, integer, integer, uuid, text) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_delivery_renew(uuid[], integer) to iu_core_worker, iu_core_operator;
grant execute on function fn_iu_route_delivery_return(uuid[]) to iu_core_worker, iu_core_operator;
