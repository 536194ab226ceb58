-- does:      installs the circuit breaker of a route.
-- called by: macro delivery-seam.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_breaker_admit(p_route_code text, p_limit integer, p_lease_ms integer)
  returns integer
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: how many deliveries the breaker of a route lets a claim take: all, none while it is open, one as a probe when its
--       time has come. A probe that nobody settles within its lease counts as lost, and the next one may go.
-- called by: fn_iu_route_delivery_claim.
-- locks: the breaker's row, while it is not closed.
-- raises: nothing.
begin
  update iu_route_breaker
  set
    state = 'half_open',
    probe_at = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0),
    updated_at = clock_timestamp()
  where iu_route_breaker.route_code = p_route_code
    and iu_route_breaker.state <> 'closed'
    and iu_route_breaker.probe_at <= clock_timestamp();
  if found then
    return 1;
  end if;
  return case
    when exists (
      select
      from iu_route_breaker
      where iu_route_breaker.route_code = p_route_code
        and iu_route_breaker.state <> 'closed'
    ) then 0
    else p_limit
  end;
end
$$;
comment on function fn_iu_route_breaker_admit(text, integer, integer) is
  'Layer delivery. How many deliveries the breaker of a route lets a claim take: all, none, or one probe.';

create function fn_iu_route_breaker_note(
  p_route_code text,
  p_first_tries integer,
  p_first_failures integer,
  p_successes integer,
  p_failures integer,
  p_failure_code text
)
  returns text
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: tells the breaker of a route what became of deliveries, and answers its state. Closed, it opens where the share of
--       first tries that failed in its window reaches the limit; half open, any success closes it and any failure opens it
--       again for twice as long; open, it stays.
-- called by: fn_iu_route_delivery_settle.
-- locks: the breaker's row.
-- raises: config_file_error where a limit is not configured.
declare
  v_min_tries constant integer := fn_iu_config_positive_int('iu_core.delivery_breaker_min_tries');
  v_percent constant integer := fn_iu_config_positive_int('iu_core.delivery_breaker_percent');
  v_window constant interval :=
    make_interval(secs => fn_iu_config_positive_int('iu_core.delivery_breaker_window_seconds'));
  v_wait constant integer := fn_iu_config_positive_int('iu_core.delivery_breaker_wait_seconds');
  v_max_wait constant integer := fn_iu_config_positive_int('iu_core.delivery_breaker_max_wait_seconds');
  v_now constant timestamptz := clock_timestamp();
  v_breaker iu_route_breaker;
begin
  insert into iu_route_breaker (route_code)
  values (p_route_code)
  on conflict (route_code) do nothing;
  select iu_route_breaker.*
  into strict v_breaker
  from iu_route_breaker
  where iu_route_breaker.route_code = p_route_code
  for update;

  if v_breaker.state = 'half_open' and p_successes > 0
    or v_breaker.state = 'closed' and v_breaker.window_started_at < v_now - v_window
  then
    v_breaker.state := 'closed';
    v_breaker.probe_at := null;
    v_breaker.wait_seconds := 0;
    v_breaker.window_started_at := v_now;
    v_breaker.first_tries := 0;
    v_breaker.first_failures := 0;
  end if;
  v_breaker.first_tries := v_breaker.first_tries + p_first_tries;
  v_breaker.first_failures := v_breaker.first_failures + p_first_failures;
  if v_breaker.state = 'half_open' and p_failures > 0
    or v_breaker.state = 'closed' and v_breaker.first_tries >= v_min_tries
      and v_breaker.first_failures * 100 >= v_breaker.first_tries * v_percent
  then
    v_breaker.wait_seconds := case v_breaker.state
      when 'half_open' then least(greatest(v_breaker.wait_seconds, v_wait) * 2, v_max_wait)
      else least(v_wait, v_max_wait)
    end;
    v_breaker.state := 'open';
    v_breaker.opened_at := v_now;
    v_breaker.probe_at := v_now + make_interval(secs => v_breaker.wait_seconds);
  end if;

  update iu_route_breaker
  set
    state = v_breaker.state,
    window_started_at = v_breaker.window_started_at,
    first_tries = v_breaker.first_tries,
    first_failures = v_breaker.first_failures,
    wait_seconds = v_breaker.wait_seconds,
    probe_at = v_breaker.probe_at,
    opened_at = v_breaker.opened_at,
    last_failure_code = coalesce(p_failure_code, iu_route_breaker.last_failure_code),
    updated_at = v_now
  where iu_route_breaker.route_code = p_route_code;
  return v_breaker.state;
end
$$;
comment on function fn_iu_route_breaker_note(text, integer, integer, integer, integer, text) is
  'Layer delivery. Tells the breaker of a route what became of deliveries; returns its state.';

alter function fn_iu_route_breaker_admit(text, integer, integer) owner to iu_core_owner;
alter function fn_iu_route_breaker_note(text, integer, integer, integer, integer, text) owner to iu_core_owner;

revoke all on function fn_iu_route_breaker_admit(text, integer, integer) from public;
revoke all on function fn_iu_route_breaker_note(text, integer, integer, integer, integer, text) from public;
