-- does:      installs the taking of a cursor, and the answer of a run that did nothing.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_worker_no_op(p_status text)
  returns jsonb
  language sql
  immutable
  set search_path from current
as $$
-- does: the answer of a run that did nothing; called by: run; locks: none; raises: nothing.
select jsonb_build_object(
  'status', p_status,
  'seen', 0,
  'attempts_written', 0,
  'dead_lettered', 0,
  'cursor_event_id', null,
  'cursor_created_at', null
)
$$;
comment on function fn_iu_worker_no_op(text) is 'Layer worker. The answer of a run that did nothing, with the reason as its status.';

create function fn_iu_route_worker_claim(p_cursor_code text, out cursor_row iu_route_worker_cursor, out ceiling xid8, out status text)
  language plpgsql
  volatile
  set search_path from current
as $$
-- does: takes the cursor for this transaction and says where it stands; status busy where another one has it, paused where
--       it rests. In a probe it
--       stands at the probe's own transaction, and the ceiling is right above it; otherwise the ceiling is null.
-- called by: fn_iu_route_worker_run, fn_iu_route_worker_open.
-- locks: the cursor's row, by try, until the transaction ends.
-- raises: SL008 for an unknown cursor; SL007 for a cursor of another cluster, or one that is ahead of this cluster.
declare
  v_probe constant boolean := fn_iu_in_probe();
  v_own constant xid8 := pg_current_xact_id_if_assigned();
  v_epoch integer;
  v_epoch_system bigint;
begin
  select iu_route_worker_cursor.*
  into cursor_row
  from iu_route_worker_cursor
  where iu_route_worker_cursor.cursor_code = p_cursor_code
  for update skip locked;
  if not found then
    if exists (select from iu_route_worker_cursor where iu_route_worker_cursor.cursor_code = p_cursor_code) then
      status := 'busy';
      return;
    end if;
    raise exception using
      errcode = 'SL008',
      message = format('there is no cursor %s', coalesce(p_cursor_code, 'null')),
      hint = 'Register it first (runtime 060 registers iu_outbound_default). Nothing was changed.';
  end if;
  if cursor_row.paused_because is not null and not v_probe then
    status := 'paused';
    return;
  end if;

  select iu_outbox_epoch.epoch, iu_outbox_epoch.system_identifier
  into v_epoch, v_epoch_system
  from iu_outbox_epoch
  order by iu_outbox_epoch.epoch desc
  limit 1;
  if cursor_row.system_identifier <> fn_iu_system_identifier()
    or v_epoch_system <> fn_iu_system_identifier()
    or cursor_row.cursor_epoch > coalesce(v_epoch, 0)
  then
    raise exception using
      errcode = 'SL007',
      message = format('cursor %s counts transactions of another cluster', p_cursor_code),
      hint = 'The database was restored. Run fn_iu_outbox_rebase once it is the one that counts. Nothing was changed.';
  end if;
  if not v_probe and cursor_row.cursor_epoch = v_epoch and cursor_row.cursor_xact_id >= pg_snapshot_xmax(pg_current_snapshot()) then
    raise exception using
      errcode = 'SL007',
      message = format('cursor %s stands at transaction %s, which this cluster has not reached yet', p_cursor_code,
        cursor_row.cursor_xact_id),
      hint = 'Every new event would count as decided. Set the keyset back to the last event with an attempt. Nothing was changed.';
  end if;

  if v_probe then
    ceiling := (v_own::text::numeric + 1)::text::xid8;
    if cursor_row.cursor_xact_id is null or cursor_row.cursor_xact_id < v_own or cursor_row.cursor_epoch < v_epoch then
      cursor_row.cursor_epoch := v_epoch;
      cursor_row.cursor_xact_id := v_own;
      cursor_row.cursor_created_at := '-infinity';
      cursor_row.cursor_event_id := '00000000-0000-0000-0000-000000000000';
    end if;
  end if;
  if cursor_row.cursor_event_id is null then
    cursor_row.cursor_epoch := 0;
    cursor_row.cursor_xact_id := '0';
    cursor_row.cursor_created_at := '-infinity';
    cursor_row.cursor_event_id := '00000000-0000-0000-0000-000000000000';
  end if;
end
$$;
comment on function fn_iu_route_worker_claim(text) is
  'Layer worker. Takes a cursor for this transaction: its row with the keyset to go on from, the ceiling of a probe, or busy.';

create function fn_iu_route_worker_settled(p_cursor iu_route_worker_cursor, p_ceiling xid8, p_limit integer)
  returns integer
  language sql
  volatile
  set search_path from current
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
  set jit = off
as $$
-- does: how many of the next events are older than the cursor's safety lag, counted from the first without a gap.
-- called by: fn_iu_route_worker_run, where a lag is set; locks: none; raises: nothing.
select count(*)::integer
from (
  select bool_and(ahead.created_at <= clock_timestamp() - p_cursor.safety_lag) over (
      order by ahead.epoch, ahead.xact_id, ahead.created_at, ahead.id
      rows unbounded preceding
    ) as old_enough
  from (
    select event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
    from event_outbox
    where (event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id) > (
        p_cursor.cursor_epoch, p_cursor.cursor_xact_id, p_cursor.cursor_created_at, p_cursor.cursor_event_id)
      and (event_outbox.epoch, event_outbox.xact_id) < (
        (select max(iu_outbox_epoch.epoch) from iu_outbox_epoch),
        coalesce(p_ceiling, pg_snapshot_xmin(pg_current_snapshot())))
    order by event_outbox.epoch, event_outbox.xact_id, event_outbox.created_at, event_outbox.id
    limit p_limit
  ) as ahead
) as judged
where judged.old_enough
$$;
comment on function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer) is
  'Layer worker. How many of the next events are older than the safety lag, without a gap.';

alter function fn_iu_worker_no_op(text) owner to iu_core_owner;
alter function fn_iu_route_worker_claim(text) owner to iu_core_owner;
alter function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer) owner to iu_core_owner;

revoke all on function fn_iu_worker_no_op(text) from public;
revoke all on function fn_iu_route_worker_claim(text) from public;
revoke all on function fn_iu_route_worker_settled(iu_route_worker_cursor, xid8, integer) from public;
