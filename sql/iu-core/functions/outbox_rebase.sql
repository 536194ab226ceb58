-- does:      installs the rebase of the outbox after a restore into another cluster.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_outbox_rebase(p_actor text, p_reason text)
  returns jsonb
  language plpgsql
  volatile
  security definer
  set search_path from current
as $$
-- does: after a restore into another cluster, opens the new epoch and lets every cursor count in it; events of the old
--       epoch that are still undecided come first.
-- called by: operators, once the restored database is the one that counts.
-- locks: exclusive side of the worker's advisory lock, under lock_timeout; the cursors.
-- raises: invalid_parameter_value without actor or reason.
declare
  v_epoch integer;
  v_cursors integer;
begin
  if (p_actor ~ '\S') is not true or (p_reason ~ '\S') is not true then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'a rebase names who asks for it and why',
      hint = 'Give actor and reason. Nothing was changed.';
  end if;
  perform pg_advisory_xact_lock(fn_iu_worker_lock_key());
  v_epoch := fn_iu_outbox_epoch();
  update iu_route_worker_cursor
  set system_identifier = fn_iu_system_identifier()
  where iu_route_worker_cursor.system_identifier <> fn_iu_system_identifier();
  get diagnostics v_cursors = row_count;
  return jsonb_build_object('epoch', v_epoch, 'cursors_rebased', v_cursors, 'actor', p_actor, 'reason', p_reason);
end
$$;
comment on function fn_iu_outbox_rebase(text, text) is
  'Layer worker. After a restore into another cluster: opens the new epoch and lets every cursor count in it.';

alter function fn_iu_outbox_rebase(text, text) owner to iu_core_owner;

revoke all on function fn_iu_outbox_rebase(text, text) from public;
grant execute on function fn_iu_outbox_rebase(text, text) to iu_core_operator;
