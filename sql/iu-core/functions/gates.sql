-- does:      installs what stands before every run: the lock that runs share and a closing gate takes alone, the gates, and
--            the two halves of closing one.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_worker_lock_key()
  returns bigint
  language sql
  stable
  parallel safe
  set search_path from current
as $$
-- does: key of the advisory lock that runs share and a closing gate takes alone; one for each installed schema.
-- called by: run, replay, fn_iu_gate_wait; locks: none; raises: nothing.
select hashtextextended('iu_core route worker in ' || current_schema(), 0)
$$;
comment on function fn_iu_worker_lock_key() is
  'Layer worker. Key of the advisory lock: runs and replays hold the shared side, fn_iu_gate_wait waits for the other.';

create function fn_iu_worker_enter(p_what text)
  returns text
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: lets work behind the gates begin, or says why not: gate_closing, master_gate_closed, worker_gate_closed; null means
--       that it may, and that a gate that is closed from now on waits for this transaction.
-- called by: run and its slow way, replay, release of blocked events, each with its name for the error.
-- locks: shared side of the worker's advisory lock, by try, until the transaction ends.
-- raises: SL008 on a standby, or under REPEATABLE READ and above outside a probe.
begin
  if pg_is_in_recovery() then
    raise exception using
      errcode = 'SL008',
      message = format('%s was asked for on a standby', p_what),
      hint = 'Call it on the primary. Nothing was changed.';
  end if;
  if pg_try_advisory_xact_lock_shared(fn_iu_worker_lock_key()) is not true then
    return 'gate_closing';
  end if;
  if fn_iu_gate_open('iu_core.outbound_enabled') is true then
    null;
  else
    return 'master_gate_closed';
  end if;
  if fn_iu_gate_open('iu_core.route_worker_enabled') is true then
    null;
  else
    return 'worker_gate_closed';
  end if;
  if current_setting('transaction_isolation') <> 'read committed' and fn_iu_in_probe() is not true then
    raise exception using
      errcode = 'SL008',
      message = format('%s was asked for under %s', p_what, upper(current_setting('transaction_isolation'))),
      hint = 'READ COMMITTED is needed: an older snapshot does not see a gate that was closed since. Nothing was changed.';
  end if;
  return null;
end
$$;
comment on function fn_iu_worker_enter(text) is
  'Layer worker. Takes the shared lock and reads the gates; null where work may begin, otherwise the status of a no-op.';

create function fn_iu_gate_close(p_key text, p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the first half of closing: sets the gate to false. The caller commits, then calls fn_iu_gate_wait.
-- called by: operators, the disable runbook.
-- locks: the gate's row.
-- raises: invalid_parameter_value for a key that is no gate, or without actor or reason.
begin
  if p_key is null or p_key !~ '^iu_core\.[a-z_]+_enabled$' or (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('gate %s cannot be closed by this call', coalesce(p_key, 'null')),
      hint = 'Name a gate (iu_core.…_enabled), an actor and a reason. Nothing was changed.';
  end if;
  perform
    set_config('sluice.actor', p_actor, true),
    set_config('sluice.reason', p_reason, true);
  insert into dot_config (key, value)
  values (p_key, 'false')
  on conflict (key) do update
  set value = excluded.value;
  return jsonb_build_object('gate', p_key, 'value', 'false', 'actor', p_actor, 'reason', p_reason, 'next', 'commit, then fn_iu_gate_wait');
end
$$;
comment on function fn_iu_gate_close(text, text, text) is
  'Layer worker. Sets a gate to false; after the commit fn_iu_gate_wait tells when nothing runs any more.';

create function fn_iu_gate_wait(p_key text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: the second half of closing, in a transaction of its own: waits until no run or replay is left. When it returns,
--       nothing is running and nothing can start.
-- called by: operators, the disable runbook.
-- locks: the exclusive side of the worker's advisory lock, waited for under lock_timeout (10 s where none is set).
-- raises: lock_not_available, naming the pids that still run; SL008 where the gate is not closed, was opened again
--         meanwhile, or was closed only in this very transaction.
declare
  v_value text;
  v_xmin numeric;
  v_next constant numeric := pg_snapshot_xmax(pg_current_snapshot())::text::numeric;
  v_key constant bigint := fn_iu_worker_lock_key();
  v_started_at constant timestamptz := clock_timestamp();
  v_pids text;
begin
  select dot_config.value, dot_config.xmin::text::numeric
  into v_value, v_xmin
  from dot_config
  where dot_config.key = p_key;
  if v_value = 'true' then
    raise exception using
      errcode = 'SL008',
      message = format('gate %s is open', p_key),
      hint = 'Close it with fn_iu_gate_close and commit first. Nothing was changed.';
  end if;

  -- The row's 32-bit xmin, widened: a value far ahead of the newest transaction is one of the round before.
  v_xmin := floor(v_next / 4294967296) * 4294967296 + v_xmin;
  if v_xmin > v_next + 2147483648 then
    v_xmin := v_xmin - 4294967296;
  end if;
  if v_xmin > 2 and pg_xact_status(v_xmin::text::xid8) = 'in progress' then
    raise exception using
      errcode = 'SL008',
      message = format('gate %s was closed in this transaction, and nobody else sees that yet', p_key),
      hint = 'Commit, then wait in a second transaction. Nothing was changed.';
  end if;

  if current_setting('lock_timeout') in ('0', '0ms') then
    perform set_config('lock_timeout', '10s', true);
  end if;
  begin
    perform pg_advisory_xact_lock(v_key);
  exception
    when lock_not_available then
      select string_agg(format('pid %s (%s, %s)', l.pid, s.usename, s.application_name), ', ' order by l.pid)
      into v_pids
      from pg_locks as l
      left join pg_stat_activity as s on s.pid = l.pid
      where l.locktype = 'advisory'
        and l.database = (select oid from pg_database where datname = current_database())
        and l.objsubid = 1
        and ((l.classid::bigint << 32) | l.objid::bigint) = v_key
        and l.granted
        and l.pid <> pg_backend_pid();
      raise exception using
        errcode = 'lock_not_available',
        message = format('gate %s is closed, and a run is still under way: %s', p_key, coalesce(v_pids, 'it ended this moment')),
        hint = 'Nothing new can start. Wait for it, or end it; then call this again.';
  end;
  if fn_iu_gate_open(p_key) then
    raise exception using
      errcode = 'SL008',
      message = format('gate %s was opened again during the wait', p_key),
      hint = 'Runs can start. Close it again if it has to be closed, then wait.';
  end if;
  return jsonb_build_object(
    'gate', p_key,
    'status', 'closed',
    'waited_ms', round(extract(epoch from clock_timestamp() - v_started_at)::numeric * 1000, 1)
  );
end
$$;
comment on function fn_iu_gate_wait(text) is
  'Layer worker. After a gate was closed and that was committed: waits until nothing runs; names the pids when lock_timeout ends first.';

alter function fn_iu_worker_lock_key() owner to iu_core_owner;
alter function fn_iu_worker_enter(text) owner to iu_core_owner;
alter function fn_iu_gate_close(text, text, text) owner to iu_core_owner;
alter function fn_iu_gate_wait(text) owner to iu_core_owner;

revoke all on function fn_iu_worker_lock_key() from public;
revoke all on function fn_iu_worker_enter(text) from public;
revoke all on function fn_iu_gate_close(text, text, text) from public;
revoke all on function fn_iu_gate_wait(text) from public;
grant execute on function fn_iu_gate_close(text, text, text) to iu_core_operator;
grant execute on function fn_iu_gate_wait(text) to iu_core_operator;
