-- does:      takes the registration back: gate and cursor, as runtime 060 found them.
-- called by: the rollback of macro event-worker, before that of 009.
-- locks:     the two rows; attempts against new ones.
-- raises:    SL001 while an attempt exists: the cursor says what was decided.

lock table iu_route_attempt in share row exclusive mode;

do $$
declare
  v_attempts bigint;
begin
  select count(*) into v_attempts from iu_route_attempt;
  if v_attempts > 0 then
    raise exception using
      errcode = 'SL001',
      message = format('%s attempts exist; their cursor says what was decided', v_attempts),
      hint = 'They are history and are never deleted. Nothing was changed; use the disable runbook.';
  end if;
end
$$;

delete from iu_route_worker_cursor
where iu_route_worker_cursor.cursor_code = 'iu_outbound_default';

delete from dot_config
where dot_config.key = 'iu_core.route_worker_enabled';
